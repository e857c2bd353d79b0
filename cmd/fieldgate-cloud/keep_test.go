package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestKeepFlagPurgesEveryHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		log := slog.New(slog.NewTextHandler(&said, nil))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Hour+time.Minute)
		defer cancel()
		n := 0
		keepFlag{48 * time.Hour}.purging(ctx, func(_ context.Context, age time.Duration) error {
			if n++; age != 48*time.Hour {
				t.Errorf("keeps %s", age)
			}
			if n == 2 || n == 3 {
				return errors.New("no leader")
			}
			return nil
		}, log)
		if n != 5 || strings.Count(said.String(), "no leader") != 1 {
			t.Errorf("%d purges in five hours: %s", n, said.String())
		}
		keepFlag{}.purging(t.Context(), func(context.Context, time.Duration) error {
			t.Error("deletes without being told to")
			return nil
		}, log)
	})
}
