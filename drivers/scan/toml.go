package scan

import (
	"fmt"
	"regexp"
	"strings"
)

// TOML gives what can be pasted into the configuration: one [[device]] for each
// thing that was found, is not configured, and can be read. Guesses stand in
// comments. used are the ids that are taken.
func TOML(buses []Bus, shown []Shown, used []string) string {
	p := &pasted{used: map[string]bool{}}
	for _, id := range used {
		p.used[id] = true
	}
	for _, b := range buses {
		for _, c := range b.Chips {
			p.chip(b.Name, c)
		}
	}
	for _, s := range shown {
		p.device("", s.Driver, s.Name, fmt.Sprintf("sensor = %q", s.Sensor))
	}
	return strings.Join(p.tables, "\n")
}

type pasted struct {
	used   map[string]bool
	tables []string
}

func (p *pasted) chip(bus string, c Chip) {
	lines := []string{fmt.Sprintf("bus = %q", bus), fmt.Sprintf("address = 0x%02x", c.Address)}
	switch {
	case c.State != Answers:
	case c.Driver != "":
		p.device("", c.Driver, fmt.Sprintf("%s-%02x", c.Driver, c.Address), lines...)
	case len(c.Guesses) > 0:
		p.tables = append(p.tables, fmt.Sprintf("# 0x%02x on %s cannot say what it is. If it is for driver %s, take the # away:\n",
			c.Address, bus, strings.Join(c.Guesses, " or ")))
		p.device("# ", c.Guesses[0], fmt.Sprintf("%s-%02x", c.Guesses[0], c.Address), lines...)
	}
}

var notForIDs = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

func (p *pasted) device(comment, driver, id string, lines ...string) {
	id = notForIDs.ReplaceAllString(id, "_")
	id = id[:min(len(id), 60)] // and "-" and a number: 64
	free := id
	for n := 2; p.used[free]; n++ {
		free = fmt.Sprintf("%s-%d", id, n)
	}
	p.used[free] = true
	table := append([]string{"[[device]]", fmt.Sprintf("id = %q", free), fmt.Sprintf("driver = %q", driver)}, lines...)
	p.tables = append(p.tables, comment+strings.Join(table, "\n"+comment)+"\n")
}
