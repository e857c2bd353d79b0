// Command peers stores readings the way others do, for the figures of `make
// bench`. It reads one JSON object a line from its input and prints how many
// it stored and in how many seconds.
//
//	peers bbolt FILE N   one bbolt value per reading, N readings in a commit
//	peers wal DIR 1      one entry per reading in a tidwall/wal log, each synced:
//	                     what Telegraf's disk buffer does (influxdata/telegraf,
//	                     models/buffer_disk.go)
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/tidwall/wal"
	"go.etcd.io/bbolt"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("want: peers bbolt|wal PATH READINGS-IN-A-COMMIT")
	}
	batch, err := strconv.Atoi(args[2])
	if err != nil {
		return fmt.Errorf("readings in a commit: %w", err)
	}
	lines, err := readLines()
	if err != nil {
		return err
	}
	began := time.Now()
	switch args[0] {
	case "bbolt":
		err = intoBbolt(args[1], lines, batch)
	case "wal":
		err = intoWAL(args[1], lines)
	default:
		err = fmt.Errorf("no such peer: %s", args[0])
	}
	fmt.Println(len(lines), time.Since(began).Seconds())
	return err
}

func readLines() (lines [][]byte, err error) {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		lines = append(lines, append([]byte(nil), in.Bytes()...))
	}
	return lines, in.Err()
}

func intoBbolt(path string, lines [][]byte, batch int) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	for seq := 0; seq < len(lines); seq += batch {
		err := db.Update(func(tx *bbolt.Tx) error { return put(tx, lines[seq:min(seq+batch, len(lines))], seq) })
		if err != nil {
			return err
		}
	}
	return db.Close()
}

// put writes lines under their numbers, which begin with first.
func put(tx *bbolt.Tx, lines [][]byte, first int) error {
	b, err := tx.CreateBucketIfNotExists([]byte("readings"))
	if err != nil {
		return err
	}
	for i, line := range lines {
		if err := b.Put(binary.BigEndian.AppendUint64(nil, uint64(first+i)), line); err != nil {
			return err
		}
	}
	return nil
}

func intoWAL(dir string, lines [][]byte) error {
	log, err := wal.Open(dir, nil) // the default syncs every entry
	if err != nil {
		return err
	}
	for i, line := range lines {
		if err := log.Write(uint64(i+1), line); err != nil {
			return err
		}
	}
	return log.Close()
}
