package cloudtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A PubSub is a record.PubSub in memory.
type PubSub struct {
	mu        sync.Mutex
	listeners []*listener
}

// A listener hears one message at a time, in the order in which they came. Whoever
// publishes does not wait: hear may publish something itself.
type listener struct {
	pattern []string
	hear    func(subject string, data []byte) []byte

	mu      sync.Mutex
	waiting []message
	hearing bool // a goroutine empties waiting
}

// A message is one for one listener.
type message struct {
	subject string
	data    []byte
	answer  chan []byte // nil: none is wanted
}

// Publish implements record.PubSub.
func (b *PubSub) Publish(subject string, data []byte) error {
	if !validWords(subject) {
		return fmt.Errorf("%q is no subject", subject)
	}
	for _, l := range b.of(subject) {
		l.enqueue(message{subject, slices.Clone(data), nil})
	}
	return nil
}

// Request implements record.PubSub.
func (b *PubSub) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if !validWords(subject) {
		return nil, fmt.Errorf("%q is no subject", subject)
	}
	listeners := b.of(subject)
	if len(listeners) == 0 {
		return nil, record.ErrNobody
	}
	answer := make(chan []byte, len(listeners))
	for _, l := range listeners {
		l.enqueue(message{subject, slices.Clone(data), answer})
	}
	select {
	case first := <-answer:
		return first, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Subscribe implements record.PubSub.
func (b *PubSub) Subscribe(subject string, hear func(string, []byte) []byte) (stop func(), err error) {
	if !validPattern(subject) {
		return nil, fmt.Errorf("%q is no subject to listen to", subject)
	}
	l := &listener{pattern: strings.Split(subject, "."), hear: hear}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listeners = append(b.listeners, l)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.listeners = slices.DeleteFunc(b.listeners, func(x *listener) bool { return x == l })
	}, nil
}

// validPattern says whether s is words, of which all but the first may be any
// one word, and the last any words.
func validPattern(s string) bool {
	words := strings.Split(s, ".")
	if last := len(words) - 1; last > 0 && words[last] == ">" {
		words = words[:last]
	}
	for i := 1; i < len(words); i++ {
		if words[i] == "*" {
			words[i] = "any"
		}
	}
	return validWords(strings.Join(words, "."))
}

// of gives who listens to a subject now.
func (b *PubSub) of(subject string) []*listener {
	words := strings.Split(subject, ".")
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []*listener
	for _, l := range b.listeners {
		if l.wants(words) {
			all = append(all, l)
		}
	}
	return all
}

func (l *listener) wants(words []string) bool {
	for i, p := range l.pattern {
		if p == ">" {
			return len(words) > i
		}
		if i == len(words) || p != "*" && p != words[i] {
			return false
		}
	}
	return len(words) == len(l.pattern)
}

func (l *listener) enqueue(m message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, m)
	if !l.hearing {
		l.hearing = true
		go l.hearAll()
	}
}

// hearAll hears what waits, until nothing does.
func (l *listener) hearAll() {
	for {
		l.mu.Lock()
		if len(l.waiting) == 0 {
			l.hearing = false
			l.mu.Unlock()
			return
		}
		m := l.waiting[0]
		l.waiting = l.waiting[1:]
		l.mu.Unlock()
		if answer := l.hear(m.subject, m.data); answer != nil && m.answer != nil {
			m.answer <- answer
		}
	}
}
