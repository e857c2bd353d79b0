package block

import "math/bits"

// A series is a column of integers as [start, degree, step, code, …], or
// [start] alone for a column of one. With x(0) = start:
//
//	degree 0: x(i) = start + i·step + code(i)   a steady clock with jitter, noise about a level
//	degree 1: x(i) = x(i-1) + step + code(i)    what wanders
//	degree 2: x(i) = x(i-1) + d(i), d(i) = d(i-1) + code(i), d(0) = step   delta of delta
//
// All sums are modulo 2^64, so that every column has every form; an encoder
// takes the shortest.

// appendSeries appends the series of xs, which has at least one element.
func appendSeries(dst, xs []int64) []int64 {
	dst = append(dst, xs[0])
	if len(xs) == 1 {
		return dst
	}
	n := int64(len(xs) - 1)
	mean := (xs[n] - xs[0]) / n
	var cost [5]int
	first := xs[1] - xs[0]
	prev, d := xs[0], first
	for i, x := range xs[1:] {
		delta := x - prev
		cost[0] += width(x - xs[0] - int64(i+1)*mean)
		cost[1] += width(x - xs[0])
		cost[2] += width(delta - mean)
		cost[3] += width(delta)
		cost[4] += width(delta - d)
		prev, d = x, delta
	}
	best := 0
	for i, c := range cost {
		if c < cost[best] {
			best = i
		}
	}
	degree := int64(best / 2)
	step := [...]int64{mean, 0, mean, 0, first}[best]
	dst = append(dst, degree, step)
	return appendCodes(dst, xs, degree, step)
}

func appendCodes(dst, xs []int64, degree, step int64) []int64 {
	prev, d := xs[0], step
	for i, x := range xs[1:] {
		delta := x - prev
		switch degree {
		case 0:
			dst = append(dst, x-xs[0]-int64(i+1)*step)
		case 1:
			dst = append(dst, delta-step)
		default:
			dst = append(dst, delta-d)
		}
		prev, d = x, delta
	}
	return dst
}

// width is about how many bits x costs.
func width(x int64) int { return bits.Len64(uint64(x<<1 ^ x>>63)) }

// seriesLen is how many elements a series has; 0 if it is none.
func seriesLen(s []int64) int {
	switch {
	case len(s) == 1:
		return 1
	case len(s) > 3 && s[1] >= 0 && s[1] <= 2:
		return len(s) - 2
	}
	return 0
}

// expand writes the elements of s into xs, which has room for exactly them.
func expand(xs, s []int64) {
	xs[0] = s[0]
	if len(s) == 1 {
		return
	}
	prev, d, step := s[0], s[2], s[2]
	for i, code := range s[3:] {
		switch s[1] {
		case 0:
			prev = s[0] + int64(i+1)*step + code
		case 1:
			prev += step + code
		default:
			d += code
			prev += d
		}
		xs[i+1] = prev
	}
}
