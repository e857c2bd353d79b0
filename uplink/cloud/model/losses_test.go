package model

import (
	"encoding/binary"
	"errors"
	"os"
	"path"
	"strconv"
	"strings"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/store/storetest"
)

// How JetStream loses records: it crashes and has all, a copy of its folder is
// restored, it has lost the newest records, or everything.

// loseLog exchanges the log for what a copy of its folder holds: the present
// one (nil: JetStream has crashed), an older one (its newest records were lost)
// or an empty one. The servers live on, as those of a cluster do, or die with
// it, as one does that holds it.
func (w *testbed) loseLog(dir storetest.Dir, together bool) {
	if dir == nil {
		dir = w.log.fallen()
	}
	l := w.log.exchange(nil)
	synctest.Wait() // what was with the old log is finished
	before := w.read(l)
	if dir == nil {
		dir = w.look(w.logDir)
	}
	l.Close()
	_ = os.RemoveAll(w.logDir)
	for _, s := range w.servers {
		if together {
			s.gate.dead.Store(true)
		}
		s.cloud.Interrupted(errors.New("the log is gone"))
	}
	at := w.folder()
	w.must(dir.Write(at))
	w.openLog(at)
	if w.log.ruleOff == nil || !w.log.ruleOff.lossless {
		w.ledger.lose(before, w.read(w.log.end()))
	}
	if together {
		w.net.Cut()
		for _, s := range w.servers {
			w.restart(s)
		}
	}
}

func (w *testbed) restoreLog() bool {
	if len(w.logs) == 0 {
		return false
	}
	w.loseLog(w.logs[w.r.IntN(len(w.logs))], w.r.IntN(2) == 0)
	return true
}

// loseMinutes has the log lose what gateways have just been told that it has,
// and the card no longer needs but for that.
func (w *testbed) loseMinutes() bool {
	dir, b := w.look(w.logDir), w.any()
	for range 2 {
		b.append(1 + w.r.IntN(burst))
		b.reboot()
		w.mendLine()
		w.pass(time.Second + w.upTo(time.Minute))
	}
	w.loseLog(dir, w.r.IntN(2) == 0)
	return true
}

func (w *testbed) loseAll() bool {
	if w.r.IntN(3) > 0 {
		return false
	}
	w.loseLog(storetest.Dir{}, w.r.IntN(2) == 0)
	return true
}

// loseTail has the log lose its newest records while an append is under way
// that was meant to follow them.
func (w *testbed) loseTail() bool {
	w.log.loseNext()
	w.any().append(1 + w.r.IntN(burst))
	w.pass(w.upTo(answerWithin))
	dir := w.look(w.logDir)
	n := cutTail(dir, 1+w.r.IntN([]int{2, 16}[w.r.IntN(2)]), w.r.IntN(2) == 0)
	if n == 0 {
		return false
	}
	w.seen.add(tails, n)
	if w.r.IntN(2) == 0 {
		delete(dir, rawFolder+"index.db") // written now and then only
	}
	w.loseLog(dir, w.r.IntN(2) == 0)
	w.any().up.Wake()
	return true
}

// rawFolder is where the embedded nats-server keeps the log's records.
const rawFolder = "jetstream/$G/streams/FG_RAW/msgs/"

// cutTail takes the newest n records from a copy of the log's folder, or as
// many as the newest of its files has but one, and gives how many. If torn, a
// piece of the first of them is left.
func cutTail(dir storetest.Dir, n int, torn bool) int {
	name, starts := records(dir)
	n = min(n, len(starts)-1)
	if n <= 0 {
		return 0
	}
	end := starts[len(starts)-n]
	if torn {
		end += 20
	}
	dir[name] = dir[name][:end]
	return n
}

// records gives where the records in the newest file of a copy of the log's
// folder begin. A file is records in a row, each with its length before it, in 4
// bytes of which the highest bit says that there are headers, and then its
// sequence. [nats-server v2.15: filestore.go, writeMsgRecordLocked]
func records(dir storetest.Dir) (name string, starts []int) {
	newest := 0
	for file := range dir {
		number, isBlock := strings.CutSuffix(path.Base(file), ".blk")
		if i, err := strconv.Atoi(number); isBlock && err == nil && strings.HasPrefix(file, rawFolder) && i > newest {
			newest, name = i, file
		}
	}
	content := dir[name]
	for at := 0; at+4 <= len(content); {
		length := int(binary.LittleEndian.Uint32(content[at:]) &^ (1 << 31))
		if length == 0 || at+length > len(content) {
			break
		}
		starts = append(starts, at)
		at += length
	}
	return name, starts
}
