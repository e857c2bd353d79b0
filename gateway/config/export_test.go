package config

import "github.com/fieldgate/fieldgate/drivers"

// ParseText is Load of one file that is in memory, for the fuzzer.
func ParseText(data []byte, table []drivers.Driver) (*Config, error) {
	return parse([]*source{{name: "f.toml", data: data}}, table, &collector{})
}
