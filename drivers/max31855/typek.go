package max31855

import "math"

// The coefficients of a thermocouple of type K (NIST Monograph 175, ITS-90).
var (
	// mV of Cel, from -270 to 0 and from 0 to 1372.
	below = []float64{0, 0.394501280250e-1, 0.236223735980e-4, -0.328589067840e-6, -0.499048287770e-8, -0.675090591730e-10,
		-0.574103274280e-12, -0.310888728940e-14, -0.104516093650e-16, -0.198892668780e-19, -0.163226974860e-22}
	above = []float64{-0.176004136860e-1, 0.389212049750e-1, 0.185587700320e-4, -0.994575928740e-7, 0.318409457190e-9,
		-0.560728448890e-12, 0.560750590590e-15, -0.320207200030e-18, 0.971511471520e-22, -0.121047212750e-25}
	// Cel of mV, from -5.891 to 0, to 20.644 and to 54.886.
	inverse = [3][]float64{
		{0, 2.5173462e1, -1.1662878, -1.0833638, -8.9773540e-1, -3.7342377e-1, -8.6632643e-2, -1.0450598e-2, -5.1920577e-4},
		{0, 2.508355e1, 7.860106e-2, -2.503131e-1, 8.315270e-2, -1.228034e-2, 9.804036e-4, -4.413030e-5, 1.057734e-6, -1.052755e-8},
		{-1.318058e2, 4.830222e1, -1.646031, 5.464731e-2, -9.650715e-4, 8.802193e-6, -3.110810e-8},
	}
)

// millivolts is what a thermocouple of type K gives at t Cel against 0 °C.
func millivolts(t float64) float64 {
	if t < 0 {
		return polynomial(below, t)
	}
	d := t - 126.9686
	return polynomial(above, t) + 0.1185976*math.Exp(-1.183432e-4*d*d)
}

// celsius is the temperature at which it gives mv; within 0.06 K.
func celsius(mv float64) float64 {
	switch {
	case mv < 0:
		return polynomial(inverse[0], mv)
	case mv < 20.644:
		return polynomial(inverse[1], mv)
	}
	return polynomial(inverse[2], mv)
}

func polynomial(c []float64, x float64) float64 {
	y := 0.0
	for i := len(c) - 1; i >= 0; i-- {
		y = y*x + c[i]
	}
	return y
}
