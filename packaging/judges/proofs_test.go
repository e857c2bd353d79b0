package judges

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/packaging/pi"
)

var update = flag.Bool("update", false, "write the table of proofs into the document")

// A proof is one judge of one chip.
type proof struct {
	chip   string // as in the row of its driver: "TMP102"
	driver string // of this project
	judge  string // A: a foreign driver; B: a capture of a real chip; E: a published example
	by     string // who judges: "tinygo", "sigrok: melexis_mlx90614_5s_24deg.sr", "BMP280 datasheet 3.12"
	// dispute says where the judge is wrong, and what the datasheet says. ""
	// if it agrees everywhere.
	dispute string
	try     func(t *testing.T)
}

// The versions of the foreign drivers, as go.mod has them.
const (
	tinygo = "tinygo drivers v0.37.0"
	periph = "periph devices v3.7.4"
	gobot  = "gobot v2.5.0"
)

// proofs is the list of all, a line for each file of proofs.
var proofs = slices.Concat(
	ads1x15Proofs,
	aht20Proofs,
	bh1750Proofs,
	bmp3xxProofs,
	bmx280Proofs,
	dps310Proofs,
	expanderProofs,
	ina2xxProofs,
	lm75Proofs,
	mcp9808Proofs,
	mlx90614Proofs,
	scd4xProofs,
	sgp40Proofs,
	sht3xProofs,
	sht4xProofs,
	spiProofs,
	w1Proofs,
)

const (
	document = "../doc/sensors.md"
	readme   = "../../README.md"
)

// The part of the document that this test writes.
const begin, end = "<!-- proofs: made by make proofs -->\n", "<!-- end of proofs -->\n"

// TestProofs tries every judge, and compares the table in the document with
// what passed.
func TestProofs(t *testing.T) {
	var passed []proof
	for _, p := range proofs {
		ok := t.Run(strings.ReplaceAll(p.chip+"/"+p.judge+"/"+p.by, " ", "_"), func(t *testing.T) { synctest.Test(t, p.try) })
		if ok {
			passed = append(passed, p)
		}
	}
	for _, j := range pi.Judged {
		passed = append(passed, proof{chip: j.Chip, driver: j.Driver, judge: j.Judge, by: j.By})
	}
	if t.Failed() {
		return // a table of some of them would hide the others
	}
	made(t, document, begin, end, table(passed))
	made(t, readme, "- It **reads** sensors on I2C, SPI, 1-Wire and GPIO, and the board itself: ", "\n- It **keeps** ", summary(passed))
}

// made compares the part of a document between two marks with what it should
// be, and writes it with -update.
func made(t *testing.T, file, begin, end, want string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place between %q and %q", file, begin, end)
	}
	want = before + begin + want + end + after
	switch {
	case want == string(text):
	case !*update:
		t.Errorf("%s does not show what passed; `make proofs` writes it", file)
	default:
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// summary is what the README says of the proofs.
func summary(passed []proof) string {
	one, two := sum(passed)
	return fmt.Sprintf("%d chips by its own drivers, and hundreds through those of Linux.\n  %d of the first are "+
		"[proved](packaging/doc/sensors.md) by at least one judge that was not written here, %d by two.", len(chips()), one, two)
}

// sum counts the chips that have one judge at least, and two.
func sum(passed []proof) (one, two int) {
	for _, c := range chips() {
		switch _, witnesses := c.judges(passed, new(strings.Builder)); {
		case witnesses >= 2:
			one, two = one+1, two+1
		case witnesses == 1:
			one++
		}
	}
	return one, two
}

// Every proof is of a chip that a driver names.
func TestProofsNameChips(t *testing.T) {
	for _, p := range proofs {
		if !slices.ContainsFunc(chips(), func(c chip) bool { return c.name == p.chip && c.has(p.driver) }) {
			t.Errorf("no driver %s has a chip %s in its row", p.driver, p.chip)
		}
	}
}

// A chip is one that drivers name, with all of these.
type chip struct {
	name    string
	drivers []drivers.Driver
}

func (c chip) has(driver string) bool {
	return slices.ContainsFunc(c.drivers, func(d drivers.Driver) bool { return d.Name == driver })
}

func chips() []chip {
	var all []chip
	for _, d := range builtin.Drivers() {
		for _, name := range d.Chips {
			i := slices.IndexFunc(all, func(c chip) bool { return c.name == name })
			if i < 0 {
				i = len(all)
				all = append(all, chip{name: name})
			}
			all[i].drivers = append(all[i].drivers, d)
		}
	}
	slices.SortFunc(all, func(a, b chip) int { return strings.Compare(a.name, b.name) })
	return all
}

// table gives the table of proofs, chip by chip, its sum, and the disputes.
func table(passed []proof) string {
	var rows, disputes strings.Builder
	for _, c := range chips() {
		var names []string
		for _, d := range c.drivers {
			names = append(names, "`"+d.Name+"`")
		}
		judges, _ := c.judges(passed, &disputes)
		first := c.drivers[0]
		fmt.Fprintf(&rows, "| %s | %s | %s | %s | %s |\n", c.name, strings.Join(names, ", "), bus(first), judges, strings.Join(first.Blind, ", "))
	}
	one, two := sum(passed)
	text := fmt.Sprintf("%d chips: %d with at least two judges, %d with at least one.\n\n", len(chips()), two, one) +
		"| chip | driver | bus | judges that passed | not detectable |\n|---|---|---|---|---|\n" + rows.String()
	if disputes.Len() > 0 {
		text += "\nJudges err, too. Here the datasheet decided against one, or limits it:\n\n" + disputes.String()
	}
	return text
}

// judges gives those that the chip passed, and how many are of different
// origin: two letters, or two foreign drivers.
func (c chip) judges(passed []proof, disputes *strings.Builder) (text string, witnesses int) {
	var lines []string
	seen := map[string]bool{}
	for _, p := range passed {
		if p.chip != c.name || !c.has(p.driver) {
			continue
		}
		witness := p.judge
		if p.judge == "A" {
			witness += p.by
		}
		seen[witness] = true
		lines = append(lines, p.judge+": "+p.by)
		if p.dispute != "" {
			fmt.Fprintf(disputes, "- %s, %s: %s.\n", c.name, p.by, p.dispute)
		}
	}
	if len(lines) == 0 {
		return "**unproved**: no judge has tried it", 0
	}
	return strings.Join(lines, "; "), len(seen)
}

func bus(d drivers.Driver) string {
	if d.Bus == drivers.BusNone {
		return "kernel"
	}
	return strings.ToUpper(string(d.Bus))
}
