package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/s3"
	s3test "github.com/colliehq/collie/internal/testkit/s3"
)

// gateway is a real server with an independent client of it.
func gateway(t *testing.T) (*s3test.Gateway, *minio.Core) {
	t.Helper()
	s3test.Need(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	g, err := s3test.StartGateway(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Stop() })
	c, err := minio.NewCore(strings.TrimPrefix(g.URL, "http://"), &minio.Options{Creds: credentials.NewStaticV4(s3test.AccessKey, s3test.SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	return g, c
}

func put(t *testing.T, c *minio.Core, bucket, key string, size int) {
	t.Helper()
	_, err := c.Client.PutObject(t.Context(), bucket, key, bytes.NewReader(make([]byte, size)), int64(size), minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(key, err)
	}
}

// fill makes a bucket with names of many kinds, more than a page, and an
// unfinished upload. It returns how many objects and bytes that are.
func fill(t *testing.T, c *minio.Core, bucket string) (objects, size float64) {
	t.Helper()
	if err := c.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	names := []string{"a b+c&d", "ünï/cödé ✓", "a/b", "a.txt", "a-b", "a/b.d/e", "%41", "deep/" + strings.Repeat("x/", 20) + "y", "quote\"'<>"}
	for i := range 1300 {
		names = append(names, fmt.Sprintf("logs/%02d/%04d", i%7, i))
	}
	for i, name := range names {
		put(t, c, bucket, name, i%50)
		objects, size = objects+1, size+float64(i%50)
	}
	id, err := c.NewMultipartUpload(t.Context(), bucket, "big upload", minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for part := range 2 {
		if _, err := c.PutObjectPart(t.Context(), bucket, "big upload", id, part+1, bytes.NewReader(make([]byte, 7000)), 7000, minio.PutObjectPartOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return objects, size
}

func TestGatewayCounts(t *testing.T) {
	g, c := gateway(t)
	objects, size := fill(t, c, "plain")
	x := s3.New(s3.Options{})
	m := build(t, x, "s3", "endpoint: "+g.URL+"\n"+keys(t, s3test.AccessKey, s3test.SecretKey))
	r := look(t, m, "plain")
	if !r.Success {
		t.Fatal(r.Reason, r.Cause)
	}
	want(t, r, map[string]float64{
		"probe_s3_total_known": 1, "probe_s3_objects": objects, "probe_s3_size_bytes": size,
		"probe_s3_noncurrent_versions": 0, "probe_s3_delete_markers": 0,
		"probe_s3_unfinished_uploads": 1, "probe_s3_unfinished_size_bytes": 14000, "probe_s3_unfinished_uploads_sized": 1,
	})
	if age, _ := value(r, "probe_s3_newest_object_age_seconds"); age < 0 || age > 300 {
		t.Errorf("the newest object is %v seconds old", age)
	}
	if v, _ := value(r, "probe_s3_versioning", "status", "off"); v != 1 {
		t.Errorf("versioning is not off:\n%s", probe.AppendText(nil, r.Metrics.Families()))
	}
}

// Versions of an object over more than a page, deleted ones, and what is kept
// of them.
func TestGatewayVersions(t *testing.T) {
	g, c := gateway(t)
	const bucket = "kept"
	if err := c.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.EnableVersioning(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		for v := range 3 {
			put(t, c, bucket, path.Join("d", fmt.Sprint(i)), 10*(v+1))
		}
	}
	for i := range 5 {
		if err := c.RemoveObject(t.Context(), bucket, path.Join("d", fmt.Sprint(i)), minio.RemoveObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	m := build(t, s3.New(s3.Options{}), "s3", "endpoint: "+g.URL+"\n"+keys(t, s3test.AccessKey, s3test.SecretKey))
	r := look(t, m, bucket)
	if !r.Success {
		t.Fatal(r.Reason, r.Cause)
	}
	want(t, r, map[string]float64{
		"probe_s3_objects": 25, "probe_s3_size_bytes": 25 * 30, "probe_s3_noncurrent_versions": 65,
		"probe_s3_noncurrent_size_bytes": 30*30 + 5*30, "probe_s3_delete_markers": 5,
	})
}
