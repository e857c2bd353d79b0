package cloud

import (
	"errors"
	"net/http"
	"time"
)

// bodyWithin is how long a request may take with its body.
const bodyWithin = 10 * time.Second

var errSlowBody = errors.New("the request took longer than 10 s")

// timeBody keeps a client from holding a connection for ever by sending less
// of a body than it announced, whoever it is: for what nobody reads of a body
// net/http still waits. When all has come, net/http takes the bound away: an
// answer may take longer.
func timeBody(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil && r.Body != http.NoBody {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWithin))
	}
}

// denyBody tells what is wrong with a body that could not be read.
func denyBody(w http.ResponseWriter, err error, tooLarge string) {
	if isTimeout(err) {
		deny(w, http.StatusRequestTimeout, "too_slow", errSlowBody.Error())
		return
	}
	deny(w, http.StatusRequestEntityTooLarge, "too_large", tooLarge)
}
