package collectors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Quarantined is an entry that Loki refused, as a line of a file of the folder
// quarantine.
type Quarantined struct {
	Time     time.Time         `json:"time"`
	Reason   string            `json:"reason"` // in Loki's words
	Status   int               `json:"status"`
	Labels   string            `json:"labels"`
	Metadata map[string]string `json:"metadata"`
	Line     string            `json:"line"`
}

// setAside writes what Loki refused of the batch to a file of its own, named by
// the batch: done again after a crash, it is the same file.
func setAside(dir string, b *batch, refused []refusal, e *encoder) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for _, r := range refused {
		line, meta := e.entry(b, r.entry)
		q := Quarantined{
			Time: time.Unix(0, b.stamp(r.entry)).UTC(), Reason: r.reason, Status: r.status,
			Labels: b.parts[b.entries[r.entry].part].r.Labels, Metadata: map[string]string{}, Line: string(line),
		}
		for _, m := range meta {
			q.Metadata[m.Name] = string(m.Value)
		}
		if err := enc.Encode(q); err != nil {
			return fmt.Errorf("quarantine a line: %w", err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the quarantine: %w", err)
	}
	return writeFile(filepath.Join(dir, strconv.FormatInt(b.base, 10)+".jsonl"), out.Bytes())
}

// writeFile is durable and whole, or not there.
func writeFile(path string, content []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the quarantine: %w", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write the quarantine: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
