package model

import (
	"context"

	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A hearer is a subscription, which outlives the log that carries it.
type hearer struct {
	subject string
	hear    func(string, []byte) []byte
	stop    func() // at the present log; nil: there is none
}

// on subscribes at a log.
func (h *hearer) on(to *jetstream.Log) {
	h.stop = nil
	if to == nil {
		return
	}
	if stop, err := to.Subscribe(h.subject, h.hear); err == nil {
		h.stop = stop
	}
}

// Publish implements record.PubSub.
func (f *faulty) Publish(subject string, data []byte) error {
	if to := f.end(); to != nil {
		return to.Publish(subject, data)
	}
	return record.ErrUnavailable
}

// Request implements record.PubSub.
func (f *faulty) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if to := f.end(); to != nil {
		return to.Request(ctx, subject, data)
	}
	return nil, record.ErrUnavailable
}

// Subscribe implements record.PubSub.
func (f *faulty) Subscribe(subject string, hear func(string, []byte) []byte) (stop func(), err error) {
	h := &hearer{subject: subject, hear: hear}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hearers[h] = true
	h.on(f.to)
	return func() {
		f.mu.Lock()
		delete(f.hearers, h)
		stop := h.stop
		f.mu.Unlock()
		if stop != nil {
			stop()
		}
	}, nil
}
