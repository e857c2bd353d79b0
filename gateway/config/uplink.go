package config

// uplink tells what single keys of [uplink] cannot show: keys that contradict
// each other, or that are nothing without another.
func (d *decoder) uplink(root *node) {
	table := root.table["uplink"]
	if table == nil || table.table == nil {
		return
	}
	keys := table.table
	if urls := keys["urls"]; urls != nil && keys["url"] == nil {
		d.col.add(urls.keyAt, "uplink.urls", "these are further addresses: set the first one as url")
	}
	if file := keys["proxy_file"]; file != nil && keys["proxy"] != nil {
		d.col.add(file.keyAt, "uplink.proxy_file", "proxy is set at %s: set one of the two", keys["proxy"].keyAt)
	}
}
