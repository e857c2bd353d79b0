package config

// ParseText is Load of one file that is in memory, for the fuzzer.
func ParseText(data []byte, table []Driver) (*Config, error) {
	return parse([]*source{{name: "f.toml", data: data}}, table, &collector{})
}
