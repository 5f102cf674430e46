package acceptance

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/colliehq/collie/internal/testkit/launch"
	s3test "github.com/colliehq/collie/internal/testkit/s3"
)

// storage are the servers of object storage of a story: real ones, and
// simulated ones for what a real one cannot be made to do.
type storage struct {
	real      map[string]*s3test.Gateway
	simulated map[string]*s3test.Fake
}

// clear ends what still runs.
func (s *storage) clear() {
	for _, g := range s.real {
		_ = g.Stop()
	}
	for _, f := range s.simulated {
		_ = f.Close()
	}
}

const errS3Usage = usageError("s3 start|stop NAME | s3 fill NAME BUCKET N | s3 versions NAME BUCKET | s3 empty NAME BUCKET | " +
	"s3 simulate NAME KEYS PREFIXES LATENCY | s3 break NAME slowdown|no | s3 listed NAME N | s3 atmost NAME N | s3 quiet NAME [N]")

// cmdS3 runs object storage. A real server: start puts its port into $NAME_PORT
// and its keys into s3.id and s3.key; fill makes a bucket with N objects, the
// size of the Nth being N bytes, and one unfinished upload of 10,000; versions
// makes one with 10 objects of 3 versions, of which 4 are deleted; empty wants
// that nothing is left below a canary's prefix. A simulated one: listed waits
// for so many pages, atmost wants no more, quiet wants no requests any more, or at
// most N of those who probe all the time.
func cmdS3(ts *testscript.TestScript, s *stage, args []string) error {
	if len(args) < 2 {
		return errS3Usage
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*awaitLimit)
	defer cancel()
	name, rest := args[1], args[2:]
	switch args[0] {
	case "start":
		return s.startStorage(ctx, ts, name)
	case "simulate":
		return s.simulateStorage(ctx, ts, name, rest)
	}
	if f := s.storage.simulated[name]; f != nil && len(rest) <= 1 {
		return simulated(ctx, f, args[0], strings.Join(rest, ""))
	}
	g := s.storage.real[name]
	switch {
	case g == nil:
		return fmt.Errorf("no storage %q", name)
	case args[0] == "stop":
		return g.Stop()
	}
	c, err := minio.NewCore(strings.TrimPrefix(g.URL, "http://"), &minio.Options{Creds: credentials.NewStaticV4(s3test.AccessKey, s3test.SecretKey, "")})
	if err != nil {
		return err
	}
	switch {
	case args[0] == "fill" && len(rest) == 2:
		return fillBucket(ctx, c, rest[0], rest[1])
	case args[0] == "versions" && len(rest) == 1:
		return fillVersions(ctx, c, rest[0])
	case args[0] == "empty" && len(rest) == 1:
		for o := range c.Client.ListObjects(ctx, rest[0], minio.ListObjectsOptions{Prefix: ".collie-canary/", Recursive: true, WithVersions: true}) {
			return fmt.Errorf("left over: %s %w", o.Key, o.Err)
		}
		return nil
	}
	return errS3Usage
}

func (s *stage) startStorage(ctx context.Context, ts *testscript.TestScript, name string) error {
	if g := s.storage.real[name]; g != nil {
		return g.Start(ctx)
	}
	g, err := s3test.StartGateway(ctx, filepath.Join(s.dir, "s3-"+name))
	if err != nil {
		return err
	}
	s.storage.real[name] = g
	return setPort(ts, name, g.URL)
}

func (s *stage) simulateStorage(ctx context.Context, ts *testscript.TestScript, name string, args []string) error {
	if len(args) != 3 {
		return errS3Usage
	}
	keys, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	prefixes, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	latency, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	f, err := s3test.StartFake(ctx, s3test.FakeOptions{Keys: keys, Prefixes: prefixes, Latency: latency})
	if err != nil {
		return err
	}
	s.storage.simulated[name] = f
	return setPort(ts, name, f.URL)
}

func setPort(ts *testscript.TestScript, name, at string) error {
	u, err := url.Parse(at)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(u.Host)
	ts.Setenv(name+"_PORT", port)
	return err
}

func simulated(ctx context.Context, f *s3test.Fake, what, arg string) error {
	n, _ := strconv.ParseInt(arg, 10, 64)
	switch {
	case what == "break" && arg == "slowdown":
		f.Break(s3test.Faults{SlowDown: 100})
		return nil
	case what == "break":
		f.Break(s3test.Faults{})
		return nil
	case what == "listed":
		return launch.Await(ctx, "pages", func(context.Context) error {
			if got := f.Pages(); got < n {
				return fmt.Errorf("%d pages were listed, not yet %d", got, n)
			}
			return nil
		})
	case what == "atmost":
		if got := f.Pages(); got > n {
			return fmt.Errorf("%d pages were listed, more than %d", got, n)
		}
		return nil
	case what == "quiet":
		return quiet(f, n)
	}
	return errS3Usage
}

// quiet wants no more than so many requests for longer than a page takes.
func quiet(f *s3test.Fake, atMost int64) error {
	before := f.Requests()
	time.Sleep(500 * time.Millisecond)
	if n := f.Requests() - before; n > atMost {
		return fmt.Errorf("%d requests still came", n)
	}
	return nil
}

func putObject(ctx context.Context, c *minio.Core, bucket, key string, size int) error {
	_, err := c.Client.PutObject(ctx, bucket, key, bytes.NewReader(make([]byte, size)), int64(size), minio.PutObjectOptions{})
	return err
}

func fillBucket(ctx context.Context, c *minio.Core, bucket, number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	if err := c.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
		return err
	}
	for i := 1; i <= n; i++ {
		if err := putObject(ctx, c, bucket, fmt.Sprintf("pipelines/%d/artifact + %d.zip", i%13, i), i); err != nil {
			return err
		}
	}
	id, err := c.NewMultipartUpload(ctx, bucket, "unfinished", minio.PutObjectOptions{})
	if err != nil {
		return err
	}
	_, err = c.PutObjectPart(ctx, bucket, "unfinished", id, 1, bytes.NewReader(make([]byte, 10_000)), 10_000, minio.PutObjectPartOptions{})
	return err
}

func fillVersions(ctx context.Context, c *minio.Core, bucket string) error {
	if err := c.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
		return err
	}
	if err := c.EnableVersioning(ctx, bucket); err != nil {
		return err
	}
	for i := range 30 {
		if err := putObject(ctx, c, bucket, fmt.Sprint("object-", i%10), 100); err != nil {
			return err
		}
	}
	for i := range 4 {
		if err := c.RemoveObject(ctx, bucket, fmt.Sprint("object-", i), minio.RemoveObjectOptions{}); err != nil {
			return err
		}
	}
	return nil
}
