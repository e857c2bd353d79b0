package postgres

import (
	"fmt"
	"io"
)

// WriteMetrics writes what the sink counts, in Prometheus' text format. How
// many records it is behind the log is the log's figure, as of every consumer.
func (s *Sink) WriteMetrics(w io.Writer) {
	st := s.State()
	up := 1
	if st.Err != nil {
		up = 0
	}
	const prefix = "fieldgate_cloud_postgres_"
	fmt.Fprintf(w, "%sup %d\n", prefix, up)
	for _, c := range []struct {
		name string
		n    uint64
	}{
		{"readings", st.Readings}, {"gaps", st.Gaps}, {"thinned", st.Thinned}, {"ends", st.Ends}, {"events", st.Events},
		{"records", st.Records}, {"void_records", st.Void}, {"refused_records", st.Refused}, {"corrected_readings", st.Corrected},
	} {
		fmt.Fprintf(w, "%s%s_total %d\n", prefix, c.name, c.n)
	}
	if !st.Upto.IsZero() {
		fmt.Fprintf(w, "%snewest_record_seconds %.3f\n", prefix, float64(st.Upto.UnixMilli())/1000)
	}
}
