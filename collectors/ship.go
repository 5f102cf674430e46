package collectors

import (
	"context"
	"slices"
	"time"

	"github.com/colliehq/collie/collectors/cursor"
	"github.com/colliehq/collie/collectors/file"
)

// begin reads what is stored, finds the files, and makes the batch again that
// was under way.
func (s *Shipper) begin(ctx context.Context) error {
	state, err := s.book.Load(ctx)
	if err != nil {
		return err
	}
	s.last = state.Last
	s.tracker = file.NewTracker(state.Files, s.log, s.unreadable)
	s.look(ctx)
	if state.Flight != nil {
		s.replay(state.Flight)
	}
	return nil
}

func (s *Shipper) unreadable(err error) {
	s.metrics.errors.Inc()
	s.log.Debug("cannot read a log file", "err", err)
}

// look finds the files and stores which is where.
func (s *Shipper) look(ctx context.Context) {
	now := s.o.Now()
	var found []file.Candidate
	packed := 0
	for i, source := range s.o.Config.Sources {
		all, err := file.Find(source.Files, i)
		if err != nil {
			s.unreadable(err)
		}
		for _, c := range all {
			switch {
			case slices.ContainsFunc(source.Exclude, func(g string) bool { return file.Match(g, c.Path) }):
			case file.Packed(c.Path):
				packed++
			default:
				found = append(found, c)
			}
		}
	}
	s.tracker.Update(found, now)
	s.metrics.packed.Set(float64(packed))
	s.remember(ctx, now)
	s.count()
}

// remember stores records that changed without a batch, and drops old ones.
func (s *Shipper) remember(ctx context.Context, now time.Time) {
	if moved := s.tracker.Moved(); len(moved) > 0 {
		if err := s.book.Save(ctx, moved); err != nil && ctx.Err() == nil {
			s.failing("cannot store where log files are", err.Error())
		}
	}
	if ids := s.tracker.Forget(now.Add(-s.o.Config.Keep)); len(ids) > 0 {
		if err := s.book.Forget(ctx, ids); err != nil && ctx.Err() == nil {
			s.failing("cannot store which log files are gone", err.Error())
		}
	}
}

func (s *Shipper) count() {
	var unread, gap int64
	live := s.tracker.Live()
	for _, l := range live {
		unread += l.Unread()
	}
	for _, l := range s.tracker.Lost() {
		gap += l.Unread()
	}
	s.metrics.files.Set(float64(len(live)))
	s.metrics.unread.Set(float64(unread))
	s.metrics.gap.Set(float64(gap))
}

// plan makes the next batch, if none is under way, and reports whether there is
// one. Its times are fixed here, and stored before anything is sent.
func (s *Shipper) plan(ctx context.Context) bool {
	if s.delivery != nil {
		return true
	}
	if s.o.Now().Before(s.plans) {
		return false
	}
	s.batch.reset()
	s.read()
	if len(s.batch.parts) == 0 {
		return false
	}
	s.stamp()
	if err := s.book.Plan(ctx, s.batch.flight(), s.records()); err != nil {
		if ctx.Err() == nil {
			s.plans = s.o.Now().Add(time.Second)
			s.failing("cannot store what is to be sent: no logs are shipped until that works", err.Error())
		}
		return false
	}
	s.start()
	return !s.fails("planned")
}

// start begins to send the batch.
func (s *Shipper) start() {
	s.delivery, s.moved = newDelivery(len(s.batch.entries)), false
	s.metrics.inFlight.Set(float64(len(s.batch.entries)))
	for i := range s.batch.parts {
		s.batch.parts[i].log.InFlight = true
	}
}

// maxAhead is how far the times of entries may be ahead of the clock, as they
// are after it was set back: Loki refuses what is 10 minutes ahead.
const maxAhead = 5 * time.Minute

// stamp gives the batch its times: each entry has one of its own, 1 ns after the
// one before, so that Loki keeps the order and takes no two lines for one.
func (s *Shipper) stamp() {
	now := s.o.Now().UnixNano()
	s.batch.base = max(now, s.last+1)
	if s.last > now+int64(maxAhead) {
		s.batch.base = now
	}
	s.last = s.batch.base + int64(max(0, len(s.batch.entries)-1))
}

// read fills the batch, beginning after the file that was last in the one before.
func (s *Shipper) read() {
	live := s.tracker.Live()
	first, _ := slices.BinarySearchFunc(live, s.after+1, func(l *file.Log, id int64) int { return int(l.ID - id) })
	for _, l := range slices.Concat(live[first:], live[:first]) {
		room := s.o.Config.Loki.BatchBytes - len(s.batch.raw)
		if room < maxLineLimit+1 {
			return
		}
		if l.Unread() > 0 && l.Source >= 0 {
			s.readLog(l, min(room, readSize))
		}
		s.tracker.Retire(l)
	}
}

func (s *Shipper) readLog(l *file.Log, n int) {
	start := len(s.batch.raw)
	raw, err := s.tracker.Read(l, s.batch.raw, int(min(int64(n), l.Unread())))
	if err != nil {
		s.unreadable(err)
	}
	s.batch.raw = raw
	end := l.Cursor+int64(len(raw)-start) >= l.Size
	torn := end && l.Still(s.o.Now()) >= s.o.Config.TornAfter
	r := cursor.Range{
		File: l.ID, First: len(s.batch.entries), Start: l.Cursor, Mid: l.Mid(), Max: s.o.Config.MaxLine, Name: l.Name, Labels: s.labels[l.Source],
	}
	if s.batch.add(l, r, start, torn) > 0 {
		l.Known(l.Cursor, s.batch.raw[start:])
		s.after = l.ID
	}
}

// replay makes a batch again from the files. A part whose bytes are not there
// any more is left out: if they are found again, they are read again.
func (s *Shipper) replay(f *cursor.Flight) {
	s.batch.reset()
	s.batch.base = f.Base
	whole := 0
	for _, r := range f.Ranges {
		if l := s.tracker.Find(r.File); l != nil && l.Live() && l.Cursor == r.Start && s.replayPart(l, r) {
			whole++
		}
	}
	if whole < len(f.Ranges) {
		s.log.Warn("a part of what was being sent is not in its file any more", "parts", len(f.Ranges), "found", whole)
	}
	if len(s.batch.parts) > 0 {
		s.metrics.replays.Inc()
		s.start()
	}
}

// replayPart reports whether the part is as it was. Of a copy that was made
// before the last lines were written, its beginning is: what is there is sent in
// any case, with the times that it had.
func (s *Shipper) replayPart(l *file.Log, r cursor.Range) (whole bool) {
	start := len(s.batch.raw)
	raw, err := s.tracker.Read(l, s.batch.raw, int(r.Stop-r.Start))
	if err != nil {
		s.unreadable(err)
	}
	s.batch.raw = raw
	n := int64(len(raw) - start)
	if s.batch.add(l, r, start, n == r.Stop-r.Start) == 0 {
		return false
	}
	return s.batch.parts[len(s.batch.parts)-1].r == r
}

// records are those of the files in the batch.
func (s *Shipper) records() (all []file.Record) {
	for i := range s.batch.parts {
		all = append(all, s.batch.parts[i].log.Record)
	}
	return all
}

// acknowledge ends a batch that Loki has: what it refused is set aside, then the
// cursors move.
func (s *Shipper) acknowledge(ctx context.Context) bool {
	if s.o.Now().Before(s.plans) {
		return false
	}
	err := s.setAside()
	if err == nil && !s.fails("set aside") {
		s.advance()
		err = s.book.Acknowledge(ctx, s.records())
	}
	if err != nil {
		if ctx.Err() == nil {
			s.plans = s.o.Now().Add(time.Second)
			s.failing("cannot store what Loki acknowledged: no more logs are shipped until that works", err.Error())
		}
		return false
	}
	s.metrics.bytes.Add(float64(len(s.batch.raw)))
	s.metrics.lines.Add(float64(len(s.batch.entries)))
	s.metrics.inFlight.Set(0)
	s.metrics.quarantined.Add(float64(len(s.delivery.refused)))
	for i := range s.batch.parts {
		s.batch.parts[i].log.InFlight = false
	}
	s.delivery = nil
	s.recovered()
	return !s.fails("acknowledged")
}

func (s *Shipper) setAside() error {
	refused := s.delivery.refused
	if len(refused) == 0 {
		return nil
	}
	if err := setAside(s.quarantine(), &s.batch, refused, &s.enc); err != nil {
		return err
	}
	s.log.Warn("Loki refused lines for good: they are in the quarantine", "lines", len(refused), "reason", refused[0].reason, "folder", s.quarantine())
	return nil
}

// advance moves the cursors in memory, once for each batch.
func (s *Shipper) advance() {
	if s.moved {
		return
	}
	s.moved = true
	for i := range s.batch.parts {
		p := &s.batch.parts[i]
		s.tracker.Advance(p.log, p.key, s.batch.raw[p.start:p.end])
	}
}
