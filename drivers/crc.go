package drivers

// CRC8 gives the checksum of p with a polynomial of eight bits, most
// significant bit first, not reflected: Sensirion and Aosong chips have
// polynomial 0x31 and start with 0xff, SMBus packet error codes 0x07 and 0.
func CRC8(p []byte, polynomial, start byte) byte {
	crc := start
	for _, b := range p {
		crc ^= b
		for range 8 {
			carry := crc&0x80 != 0
			if crc <<= 1; carry {
				crc ^= polynomial
			}
		}
	}
	return crc
}
