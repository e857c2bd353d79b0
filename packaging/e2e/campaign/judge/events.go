package judge

// rememberedEpochs is of how many epochs of a gateway's events a cloud must
// know what it holds (PROTOCOL.md section 11): an event of an older one that
// an older copy of a card sends again is stored again.
const rememberedEpochs = 64

// An eventLog is the events of one gateway, in the order of the log.
type eventLog struct {
	epochs []string
	at     map[Name]int // by name: where it was last
}

// take tells whether an event was there before, and how many other epochs
// have had events since.
func (e *eventLog) take(n Name) (again bool, behind int) {
	i, again := e.at[n]
	if again {
		others := map[string]bool{}
		for _, epoch := range e.epochs[i+1:] {
			others[epoch] = true
		}
		delete(others, n.Epoch)
		behind = len(others)
	}
	e.at[n] = len(e.epochs)
	e.epochs = append(e.epochs, n.Epoch)
	return again, behind
}
