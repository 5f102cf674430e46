// Package flood keeps us below the flood limits of IRC servers: a token bucket
// as arithmetic, without timers.
package flood

import "time"

// costly is how many bytes one token pays for: some servers count bytes too
// (ngIRCd: 256 a second).
const costly = 280

// Bucket holds tokens, one for each line. The zero value is empty for ever.
type Bucket struct {
	Burst int           // tokens that it holds
	Every time.Duration // one token comes

	slow   int // how often the pace was halved
	tokens float64
	at     time.Time
	filled bool
}

// maxSlow bounds the halving: a quarter of the pace is the slowest.
const maxSlow = 2

// Cost of a line in tokens.
func Cost(bytes int) float64 { return max(1, float64(bytes)/costly) }

func (b *Bucket) every() time.Duration { return b.Every << b.slow }

func (b *Bucket) fill(now time.Time) {
	if !b.filled {
		b.tokens, b.filled, b.at = float64(b.Burst), true, now
		return
	}
	if d := now.Sub(b.at); d > 0 && b.Every > 0 {
		b.tokens = min(float64(b.Burst), b.tokens+float64(d)/float64(b.every()))
	}
	b.at = now
}

// Take pays for a line, on credit if need be.
func (b *Bucket) Take(now time.Time, cost float64) {
	b.fill(now)
	b.tokens -= cost
}

// Wait says how long until a line may be written; 0 is now.
func (b *Bucket) Wait(now time.Time) time.Duration {
	b.fill(now)
	if b.tokens >= 1 {
		return 0
	}
	return time.Duration((1-b.tokens)*float64(b.every())).Truncate(time.Millisecond) + time.Millisecond
}

// Within is how many lines may be written from now until d has passed.
func (b *Bucket) Within(now time.Time, d time.Duration) int {
	b.fill(now)
	if b.Every <= 0 {
		return 0
	}
	return max(0, int(b.tokens+float64(d)/float64(b.every())))
}

// Most is how many lines Within says when the bucket is full.
func (b *Bucket) Most(d time.Duration) int {
	if b.Every <= 0 {
		return b.Burst
	}
	return b.Burst + int(d/b.Every)
}

// Lag adapts the pace to how long the server takes to answer: above slow it is
// halved, below quick it recovers.
func (b *Bucket) Lag(now time.Time, lag, quick, slow time.Duration) {
	b.fill(now)
	switch {
	case lag > slow:
		b.slow = min(b.slow+1, maxSlow)
	case lag < quick:
		b.slow = max(b.slow-1, 0)
	}
}
