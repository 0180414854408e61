package db

// Written is what has become of one item.
type Written struct {
	ID      string
	Already bool // the workflow had an item with this id before, which was left as it was
}

// fresh says of rows that they were not there before.
func fresh(rows []row) []Written {
	written := make([]Written, len(rows))
	for i, r := range rows {
		written[i].ID = r.id
	}
	return written
}
