package config

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Problem is one thing that is wrong in the configuration, and where.
type Problem struct {
	File    string
	Line    int    // from 1; 0: the file as a whole
	Col     int    // from 1, in characters
	Path    string // "device[boiler].interval"; "" for a line that is not TOML
	Message string // what is wrong and what to write instead
	Excerpt string // the line, and below it a caret; secrets are left out
}

// String gives "file:line:col: path: message" and the excerpt below it.
func (p Problem) String() string {
	text := p.File + ": "
	if p.Line > 0 {
		text = fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Col)
	}
	if p.Path != "" {
		text += p.Path + ": "
	}
	text += p.Message
	if p.Excerpt != "" {
		text += "\n" + p.Excerpt
	}
	return text
}

// Problems are all that is wrong, in the order of the files and lines. It is
// the error that Load gives.
type Problems []Problem

// Error gives every problem with its excerpt.
func (ps Problems) Error() string {
	parts := make([]string, len(ps))
	for i, p := range ps {
		parts[i] = p.String()
	}
	return strings.Join(parts, "\n")
}

// A source is one file as it was read.
type source struct {
	name  string
	order int // of reading, for sorting
	data  []byte
}

// A place is a point in a source.
type place struct {
	src *source
	off int
}

// position gives line and column from 1, the column in characters.
func (p place) position() (line, col int) {
	before := p.src.data[:p.off]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}

// String gives "file:line", for messages that point to a second place.
func (p place) String() string {
	line, _ := p.position()
	return fmt.Sprintf("%s:%d", p.src.name, line)
}

const (
	excerptWidth = 120     // characters; a longer line is cut
	excerptMost  = 4 << 10 // bytes of a line that are looked at
	wordsMost    = 1 << 10 // bytes of a sentence, or of the name of a key
)

// What follows these in a line may be a secret that somebody wrote into the
// wrong place; messages and excerpts end up in journals and support tickets.
var (
	secretKey      = regexp.MustCompile(`(?i)(token|passw|secret|credential|private)[\w-]*["']?\s*=`)
	secretUserinfo = regexp.MustCompile(`://[^\s"'/]*@`)
	secretCut      = regexp.MustCompile(`://[^\s"'/]*$`) // its @ may be behind the cut
)

// excerpt gives the line and a caret under the place.
func (p place) excerpt() string {
	start := bytes.LastIndexByte(p.src.data[:p.off], '\n') + 1
	line, _, _ := bytes.Cut(p.src.data[start:], []byte("\n"))
	_, col := p.position()
	if col > excerptWidth {
		return ""
	}
	cut := len(line) > excerptMost
	line = line[:min(len(line), excerptMost)]
	text := strings.ToValidUTF8(strings.TrimRight(string(line), "\r"), "?")
	for _, m := range secretKey.FindAllStringIndex(text, -1) {
		if key := text[:m[1]]; !strings.Contains(key[m[0]:], "_file") {
			text = key + " …"
			break
		}
	}
	text = secretUserinfo.ReplaceAllString(text, "://…@")
	if cut {
		text = secretCut.ReplaceAllString(text, "://…")
	}
	// The caret's line keeps the tabs of the line above, so that they align.
	shown, pad := []rune(text), []rune{}
	for i := range col - 1 {
		if i < len(shown) && shown[i] == '\t' {
			pad = append(pad, '\t')
			continue
		}
		pad = append(pad, ' ')
	}
	if len(shown) > excerptWidth {
		shown = append(shown[:excerptWidth], '…')
	}
	return "    " + printable(shown) + "\n    " + string(pad) + "^"
}

// printable replaces control characters, which a terminal would obey.
func printable(rs []rune) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0) {
			return '?'
		}
		return r
	}, string(rs))
}

// problemsMost is how many problems are told. Each costs a walk through its
// file, and nobody reads more at once.
const problemsMost = 100

// A collector gathers problems, and notes: what works today, but is not meant.
type collector struct {
	list  []located
	more  int // problems that are not told
	notes []located
}

type located struct {
	at place
	Problem
}

func (c *collector) add(at place, path, format string, args ...any) {
	if c.full() {
		c.more++
		return
	}
	c.list = append(c.list, locate(at, path, fmt.Sprintf(format, args...)))
}

// full tells whether no further problem is told.
func (c *collector) full() bool { return len(c.list) >= problemsMost }

func (c *collector) note(at place, path, message string) {
	if len(c.notes) < problemsMost {
		c.notes = append(c.notes, locate(at, path, message))
	}
}

func locate(at place, path, message string) located {
	line, col := at.position()
	return located{at, Problem{File: at.src.name, Line: line, Col: col, Path: clip(path), Message: clip(message), Excerpt: at.excerpt()}}
}

// clip bounds what a sentence repeats of a file.
func clip(text string) string {
	if len(text) <= wordsMost {
		return text
	}
	return strings.ToValidUTF8(text[:wordsMost], "") + " …"
}

// whole tells a problem of a file as a whole.
func (c *collector) whole(src *source, message string) {
	c.list = append(c.list, located{place{src, 0}, Problem{File: src.name, Message: message}})
}

// problems gives what was gathered, in the order of the files; nil if nothing.
func (c *collector) problems() Problems {
	ps := sorted(c.list)
	if c.more > 0 {
		ps = append(ps, Problem{File: ps[len(ps)-1].File, Message: fmt.Sprintf("%d more problems are not told here", c.more)})
	}
	return ps
}

func sorted(list []located) Problems {
	slices.SortStableFunc(list, func(a, b located) int {
		return cmp.Or(cmp.Compare(a.at.src.order, b.at.src.order), cmp.Compare(a.at.off, b.at.off))
	})
	var ps Problems
	for _, l := range list {
		ps = append(ps, l.Problem)
	}
	return ps
}

// didYouMean gives `; did you mean "x"?` for the nearest of the candidates
// within an edit distance of 2, or nothing.
func didYouMean(word string, candidates []string) string {
	best, found := 3, ""
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := distance(word, c); d < best && d < len(c) {
			best, found = d, c
		}
	}
	if found == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", found)
}

// distance counts insertions, deletions, replacements and swaps of neighbours
// that turn a into b; 3 stands for anything above 2.
func distance(a, b string) int {
	if len(a)-len(b) > 2 || len(b)-len(a) > 2 {
		return 3
	}
	// rows[i] is the distance of a[:i] to every b[:j].
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return min(rows[len(a)][len(b)], 3)
}

// Problems gives them one by one, each with its excerpt.
func (ps Problems) Problems() []string {
	all := make([]string, len(ps))
	for i, p := range ps {
		all[i] = p.String()
	}
	return all
}
