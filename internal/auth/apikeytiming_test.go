package auth

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// apikey-01: how long a wrong key takes does not tell where it differs (Welch's
// t test). A leak shows in every attempt, what else the machine does in few.
func TestAPIKey01TimeDoesNotTellWhereAKeyDiffers(t *testing.T) {
	t.Parallel()
	var records []APIKeyRecord
	var keys []string
	for range 100 {
		key, record, err := NewAPIKey(NewAPIKeyOptions{Prefix: "sk_live_"})
		if err != nil {
			t.Fatal(err)
		}
		keys, records = append(keys, key), append(records, record)
	}
	a := NewAuthenticator(newAPIKeys(t, listOf(t, records...)))
	var score float64
	for range 5 {
		if score = math.Abs(welch(measure(t, a, keys))); score < 4.5 {
			t.Logf("|t| is %.2f", score)
			return
		}
	}
	t.Errorf("|t| is %.1f in every attempt, want less than 4.5", score)
}

// measure returns how many nanoseconds keys take whose first, and whose last,
// character is wrong. Each is made anew, so that where it lies in memory is
// chance too.
func measure(t *testing.T, a *Authenticator, keys []string) (took [2][]float64) {
	t.Helper()
	const samples = 200_000
	for range samples {
		wrong, class := []byte(keys[rand.IntN(len(keys))]), rand.IntN(2)
		wrong[class*(len(wrong)-1)] = "ghijklmnopqrtuvwxyz"[rand.IntN(19)] // in no key, neither first nor last
		sent := keyOf(string(wrong))
		begun := time.Now()
		_, err := a.Authenticate(t.Context(), sent)
		elapsed := time.Since(begun)
		if err == nil {
			t.Fatal("a wrong key is accepted")
		}
		if elapsed < 20*time.Microsecond { // anything longer was the scheduler or the collector
			took[class] = append(took[class], float64(elapsed))
		}
	}
	return took
}

func welch(took [2][]float64) float64 {
	var mean, spread [2]float64
	for class, times := range took {
		n := float64(len(times))
		for _, x := range times {
			mean[class] += x / n
		}
		for _, x := range times {
			spread[class] += (x - mean[class]) * (x - mean[class]) / (n - 1) / n
		}
	}
	return (mean[0] - mean[1]) / math.Sqrt(spread[0]+spread[1])
}
