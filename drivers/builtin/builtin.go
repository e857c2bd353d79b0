// Package builtin is the one list of the drivers that are compiled in.
package builtin

import (
	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/ads1x15"
	"github.com/fieldgate/fieldgate/drivers/aht20"
	"github.com/fieldgate/fieldgate/drivers/bh1750"
	"github.com/fieldgate/fieldgate/drivers/bmp3xx"
	"github.com/fieldgate/fieldgate/drivers/bmx280"
	"github.com/fieldgate/fieldgate/drivers/dps310"
	"github.com/fieldgate/fieldgate/drivers/ds3231"
	"github.com/fieldgate/fieldgate/drivers/gpioin"
	"github.com/fieldgate/fieldgate/drivers/hostsys"
	"github.com/fieldgate/fieldgate/drivers/hwmon"
	"github.com/fieldgate/fieldgate/drivers/iio"
	"github.com/fieldgate/fieldgate/drivers/ina2xx"
	"github.com/fieldgate/fieldgate/drivers/lm75"
	"github.com/fieldgate/fieldgate/drivers/max31855"
	"github.com/fieldgate/fieldgate/drivers/max31865"
	"github.com/fieldgate/fieldgate/drivers/mcp23017"
	"github.com/fieldgate/fieldgate/drivers/mcp3008"
	"github.com/fieldgate/fieldgate/drivers/mcp9808"
	"github.com/fieldgate/fieldgate/drivers/mlx90614"
	"github.com/fieldgate/fieldgate/drivers/pcf8574"
	"github.com/fieldgate/fieldgate/drivers/pulses"
	"github.com/fieldgate/fieldgate/drivers/scd4x"
	"github.com/fieldgate/fieldgate/drivers/sgp40"
	"github.com/fieldgate/fieldgate/drivers/sht3x"
	"github.com/fieldgate/fieldgate/drivers/sht4x"
	"github.com/fieldgate/fieldgate/drivers/thermal"
	"github.com/fieldgate/fieldgate/drivers/tmp117"
	"github.com/fieldgate/fieldgate/drivers/w1"
)

// Drivers gives the table, by name.
func Drivers() []drivers.Driver {
	return []drivers.Driver{
		ads1x15.ADS1015(),
		ads1x15.ADS1015Pairs(),
		ads1x15.ADS1115(),
		ads1x15.ADS1115Pairs(),
		aht20.Driver(),
		bh1750.Driver(),
		bmx280.BME280(),
		bmx280.BMP280(),
		bmp3xx.BMP388(),
		bmp3xx.BMP390(),
		dps310.Driver(),
		ds3231.Driver(),
		gpioin.Driver(),
		hostsys.Driver(),
		hwmon.Driver(),
		iio.Driver(),
		ina2xx.INA219(),
		ina2xx.INA226(),
		ina2xx.INA260(),
		lm75.Driver(),
		max31855.Driver(),
		max31865.Driver(),
		mcp23017.Driver(),
		mcp3008.Driver(),
		mcp9808.Driver(),
		mlx90614.Driver(),
		pcf8574.Driver(),
		pulses.Driver(),
		scd4x.Driver(),
		sgp40.Driver(),
		sht3x.Driver(),
		sht4x.Driver(),
		thermal.Driver(),
		tmp117.Driver(),
		w1.Driver(),
	}
}
