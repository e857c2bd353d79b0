package store_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
)

// restart opens the store as a new process does, and gives what people are
// told of damage then.
func (b *bench) restart() (damage []string) {
	b.Helper()
	table := health.New(quiet)
	b.o.Conditions = table
	b.open()
	b.sleep(time.Minute)
	for _, c := range table.List() {
		if c.Code == store.ConditionDamage {
			damage = append(damage, c.Sentence)
		}
	}
	return damage
}

// A volume that is gone is told once, and not at every later start.
func TestMissingVolumeIsToldOnce(t *testing.T) {
	for _, crash := range []bool{false, true} {
		inStore(t, nil, func(b *bench) {
			b.append(5000)
			b.sleep(6 * time.Second)
			if crash {
				b.crash()
			} else {
				b.close()
			}
			if err := os.Remove(b.volume("000001")); err != nil {
				t.Fatal(err)
			}
			if told := b.restart(); len(told) == 0 || !strings.Contains(strings.Join(told, " "), "lost") {
				t.Errorf("crash %v: people are told %q", crash, told)
			}
			for range 3 {
				b.close()
				if told := b.restart(); len(told) > 0 {
					t.Errorf("crash %v: at a later start people are told again: %q", crash, told)
				}
			}
		})
	}
}

// A volume that the store deleted itself, when power failed before that was
// noted, is no error.
func TestVolumeDeletedByTheStoreIsNoError(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		b.append(5000)
		b.sleep(6 * time.Second)
		b.close()
		b.open()
		b.acknowledge()
		b.close() // state.db knows the acks
		if err := os.Remove(b.volume("000001")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if told := b.restart(); len(told) > 0 {
				t.Errorf("people are told %q", told)
			}
			b.close()
		}
		b.open()
	})
}

// A volume whose readings a rewrite has put into a later one, when power failed
// before that was noted, is no error either, although the cloud has nothing of it.
func TestVolumeMergedByTheStoreIsNoError(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		b.append(5000)
		b.sleep(6 * time.Second)
		id := b.s.Epochs()[0].ID
		b.close()
		if err := os.Rename(b.volume("000001"), b.volume("000002")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if told := b.restart(); len(told) > 0 {
				t.Errorf("people are told %q", told)
			}
			if r := b.next(id, 1, 0); r.First != 1 || r.Gap != nil {
				t.Errorf("of the readings there is %+v", r)
			}
			b.close()
		}
		b.open()
	})
}

// The advice of a full store names what makes room: max_size only if that is
// the limit.
func TestAdviceOfAFullStore(t *testing.T) {
	for _, bySize := range []bool{false, true} {
		card := smallCard(t)
		var table *health.Table
		inStore(t, func(o *store.Options) {
			tellAll(&table)(o)
			o.Dir, o.Rate, o.Burst, o.MinFree = card+"/store", 1e6, 5000, 1<<20
			if bySize {
				o.Dir, o.MaxSize = t.TempDir(), 4<<20
			}
		}, func(b *bench) {
			for range 200 {
				b.appendNoise(4000)
				b.sleep(6 * time.Second)
			}
			said := tellOf(table, store.ConditionDropped)
			if strings.Contains(said, "max_size") != bySize || strings.Contains(said, "free space on the card") == bySize {
				t.Errorf("limited by max_size: %v; people are told %q", bySize, said)
			}
		})
	}
}
