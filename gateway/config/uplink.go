package config

import "strings"

// uplink tells what single keys of [uplink] cannot show: keys that contradict
// each other, or that are nothing without another.
func (d *decoder) uplink(root *node) {
	table := root.table["uplink"]
	if table == nil || table.table == nil {
		return
	}
	keys := table.table
	addresses := []*node{keys["url"]}
	if urls := keys["urls"]; urls != nil {
		addresses = append(addresses, urls.items...)
	}
	for i, at := range addresses {
		open := keys["unacknowledged"]
		if at == nil || !strings.HasPrefix(at.text, "ws://") || open != nil && open.text == "true" {
			continue
		}
		key := "uplink.url"
		if i > 0 {
			key = "uplink.urls"
		}
		d.col.add(at.at, key, "ws:// is refused"+unencrypted)
	}
	if urls := keys["urls"]; urls != nil && keys["url"] == nil {
		d.col.add(urls.keyAt, "uplink.urls", "these are further addresses: set the first one as url")
	}
	if file := keys["proxy_file"]; file != nil && keys["proxy"] != nil {
		d.col.add(file.keyAt, "uplink.proxy_file", "proxy is set at %s: set one of the two", keys["proxy"].keyAt)
	}
}
