package config

import (
	"bytes"
	"errors"
	"regexp"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A node is a value of the file that knows where it stands. go-toml's own
// decoder stops at the first wrong type and tells no positions afterwards;
// its parser tells both for everything.
type node struct {
	kind  unstable.Kind // Table and ArrayTable also for what is written inline; Invalid: could not be read
	text  string        // of a scalar: as written, a string without its quotes
	at    place         // of the value; of a table: its name
	keyAt place         // of the key
	items []*node       // of an array
	table map[string]*node
	order []string // keys of the table as they came
	made  bool     // a table that a header or an inline value made, not only a longer name
}

func newTable(at place) *node {
	return &node{kind: unstable.Table, at: at, keyAt: at, table: map[string]*node{}}
}

// A treeBuilder reads one source into a tree, and goes on after a line that is
// not TOML.
type treeBuilder struct {
	src     *source
	col     *collector
	parser  unstable.Parser
	base    int // offset of the parser's data in the source
	root    *node
	current *node  // the table that keys go into
	path    string // of current
	left    *int   // values that may still come, in all files together
	over    bool   // the rest is not read
}

// readTree reads src. What is not TOML is told to col and left out. It ends
// where there is more than left values, or deeper ones than any key of ours:
// before the parser sees them, since it is the parser that they cost.
func readTree(src *source, col *collector, left *int) *node {
	b := &treeBuilder{src: src, col: col, root: newTable(place{src, 0}), left: left}
	b.current = b.root
	data := bytes.TrimPrefix(src.data, []byte("\xef\xbb\xbf")) // a byte order mark
	b.base = len(src.data) - len(data)
	b.parser.Reset(data)
	end := b.base // of the last expression that could be read
	for {
		for b.bounded(end) && b.parser.NextExpression() {
			end = b.expression(b.parser.Expression())
		}
		if b.over {
			return b.root
		}
		if b.parser.Error() == nil {
			return b.root
		}
		next := b.syntaxError(end)
		if next < 0 {
			return b.root
		}
		b.base, end = next, next
		b.parser.Reset(src.data[next:])
	}
}

// resumable is a line that begins a table or sets a key; reading goes on at
// such a line after an error.
var resumable = regexp.MustCompile(`(?m)^[ \t]*(?:(\[\[?)[ \t]*[\w."'-]|([\w-]+)[ \t]*=)`)

// syntaxError tells the parser's error and gives the offset of the line to go
// on at, or -1. from is the end of what was understood.
func (b *treeBuilder) syntaxError(from int) int {
	at := place{b.src, len(b.src.data)}
	message := "this is not TOML"
	var perr *unstable.ParserError
	if errors.As(b.parser.Error(), &perr) {
		at.off = b.base + int(b.parser.Range(perr.Highlight).Offset)
		message = "not TOML: " + perr.Message
	}
	b.col.add(at, "", "%s", message)
	if b.col.more > 0 {
		return -1 // each error costs a walk to where reading can go on
	}
	start := b.skipBlank(from)
	b.lose(start)
	eol := bytes.IndexByte(b.src.data[start:], '\n')
	if eol < 0 {
		return -1
	}
	next := resumable.FindIndex(b.src.data[start+eol+1:])
	if next == nil {
		return -1
	}
	return start + eol + 1 + next[0]
}

// skipBlank gives the offset of the expression that begins at or after from.
func (b *treeBuilder) skipBlank(from int) int {
	data := b.src.data
	for from < len(data) {
		switch data[from] {
		case ' ', '\t', '\r', '\n':
			from++
		case '#':
			eol := bytes.IndexByte(data[from:], '\n')
			if eol < 0 {
				return from
			}
			from += eol
		default:
			return from
		}
	}
	return from
}

// lose remembers what the unreadable line meant to set, so that it is not
// called missing too. After an unreadable header, keys go nowhere.
func (b *treeBuilder) lose(start int) {
	m := resumable.FindSubmatchIndex(b.src.data[start:])
	if m == nil || m[0] != 0 {
		return
	}
	if m[2] >= 0 {
		b.current = newTable(place{b.src, start})
		return
	}
	at := place{b.src, start + m[4]}
	key := string(b.src.data[at.off : start+m[5]])
	if b.current.table[key] == nil {
		b.current.set(key, &node{kind: unstable.Invalid, at: at, keyAt: at})
	}
}

func (n *node) set(key string, v *node) {
	n.table[key] = v
	n.order = append(n.order, key)
}

// expression takes one table header or key and gives the offset behind it.
func (b *treeBuilder) expression(e *unstable.Node) int {
	keys := b.keys(e)
	last := keys[len(keys)-1]
	if e.Kind != unstable.KeyValue {
		b.header(keys, e.Kind)
		eol := bytes.IndexByte(b.src.data[last.at.off:], '\n')
		if eol < 0 {
			return len(b.src.data)
		}
		return last.at.off + eol
	}
	b.keyValue(b.current, e)
	return b.base + int(e.Raw.Offset+e.Raw.Length)
}

// A keyPart is one part of a dotted key.
type keyPart struct {
	name string
	at   place
	end  int
}

func (b *treeBuilder) keys(e *unstable.Node) []keyPart {
	var keys []keyPart
	for it := e.Key(); it.Next(); {
		n := it.Node()
		off := b.base + int(n.Raw.Offset)
		keys = append(keys, keyPart{string(n.Data), place{b.src, off}, off + int(n.Raw.Length)})
	}
	return keys
}

func dotted(path string, keys []keyPart) string {
	for _, k := range keys {
		path = join(path, k.name)
	}
	return path
}

// header makes the table of [a.b] or [[a.b]] the current one.
func (b *treeBuilder) header(keys []keyPart, kind unstable.Kind) {
	b.path = ""
	t := b.descend(b.root, keys[:len(keys)-1])
	last := keys[len(keys)-1]
	b.path = dotted("", keys)
	fresh := newTable(last.at)
	fresh.made = true
	b.current = fresh // also when it has no place: its keys are lost then
	if t == nil {
		return
	}
	old := t.table[last.name]
	switch {
	case old == nil && kind == unstable.Table:
		t.set(last.name, fresh)
	case old == nil:
		t.set(last.name, &node{kind: unstable.ArrayTable, at: last.at, keyAt: last.at, items: []*node{fresh}})
	case kind == unstable.ArrayTable && old.kind == unstable.ArrayTable:
		old.items = append(old.items, fresh)
	case kind == unstable.Table && old.kind == unstable.Table && !old.made:
		old.made, b.current = true, old
	default:
		b.col.add(last.at, b.path, "this is already set at %s", old.keyAt)
	}
}

// descend walks into tables, making those that are missing; through an array
// of tables to its last. It gives nil, and tells why, when a value stands in
// the way.
func (b *treeBuilder) descend(t *node, keys []keyPart) *node {
	for i, k := range keys {
		next := t.table[k.name]
		switch {
		case next == nil:
			next = newTable(k.at)
			t.set(k.name, next)
		case next.kind == unstable.ArrayTable:
			next = next.items[len(next.items)-1]
		case next.kind != unstable.Table:
			b.col.add(k.at, dotted(b.path, keys[:i+1]), "this is a table here, but a value at %s", next.keyAt)
			return nil
		}
		t = next
	}
	return t
}

// keyValue sets a possibly dotted key in t.
func (b *treeBuilder) keyValue(t *node, e *unstable.Node) {
	keys := b.keys(e)
	last := keys[len(keys)-1]
	v := b.value(e.Value(), last.end)
	v.keyAt = last.at
	if t = b.descend(t, keys[:len(keys)-1]); t == nil {
		return
	}
	if old := t.table[last.name]; old != nil {
		b.col.add(last.at, dotted(b.path, keys), "this is already set at %s", old.keyAt)
		return
	}
	t.set(last.name, v)
}

// value makes a node. before is the end of what stands in front of it, from
// which the place of an array is found: the parser does not tell it.
func (b *treeBuilder) value(e *unstable.Node, before int) *node {
	v := &node{kind: e.Kind, text: string(e.Data), at: place{b.src, b.base + int(e.Raw.Offset)}}
	v.keyAt = v.at
	switch e.Kind {
	case unstable.Array:
		open := bytes.IndexByte(b.src.data[before:], '[')
		v.at.off = before + max(open, 0)
		before = v.at.off + 1
		for it := e.Children(); it.Next(); {
			v.items = append(v.items, b.value(it.Node(), before))
		}
		if allTables(v.items) {
			v.kind = unstable.ArrayTable
		}
	case unstable.InlineTable:
		v.kind, v.table, v.made = unstable.Table, map[string]*node{}, true
		for it := e.Children(); it.Next(); {
			b.keyValue(v, it.Node())
		}
	}
	return v
}

func allTables(items []*node) bool {
	for _, n := range items {
		if n.kind != unstable.Table {
			return false
		}
	}
	return len(items) > 0
}

// merge adds the tree of a later file to t: tables are joined, arrays of
// tables appended, and what is set twice is told.
func (t *node) merge(o *node, path string, col *collector) {
	for _, key := range o.order {
		theirs, ours := o.table[key], t.table[key]
		switch {
		case ours == nil:
			t.set(key, theirs)
		case ours.kind == unstable.Table && theirs.kind == unstable.Table:
			ours.merge(theirs, join(path, key), col)
		case ours.kind == unstable.ArrayTable && theirs.kind == unstable.ArrayTable:
			ours.items = append(ours.items, theirs.items...)
		default:
			col.add(theirs.keyAt, join(path, key), "this is already set at %s", ours.keyAt)
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
