package api

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// As Amazon documents it for ListObjectsV2, with an owner, a checksum and a key
// that needs encoding.
const objects = `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Name>bucket</Name><Prefix/><KeyCount>3</KeyCount><MaxKeys>1000</MaxKeys>
  <EncodingType>url</EncodingType>
  <IsTruncated>true</IsTruncated><!-- one more -->
  <NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken>
  <Contents>
    <Key>my-image.jpg</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>
    <ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag><Size>434234</Size><StorageClass>STANDARD</StorageClass>
    <Owner><ID>75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a</ID><DisplayName>a &amp; b</DisplayName></Owner>
  </Contents>
  <Contents><Key>sou%0Arce/a+b%2B</Key><LastModified>2024-02-29T23:59:59Z</LastModified><Size>0</Size><ChecksumAlgorithm>CRC32</ChecksumAlgorithm></Contents>
  <CommonPrefixes><Prefix>x/</Prefix></CommonPrefixes>
</ListBucketResult>`

const versions = `<ListVersionsResult><IsTruncated>false</IsTruncated><NextKeyMarker>k&amp;k</NextKeyMarker><NextVersionIdMarker>x</NextVersionIdMarker>
<Version><Key>a&amp;b</Key><VersionId>3/L4</VersionId><IsLatest>true</IsLatest><LastModified>2009-10-12T17:50:30.000Z</LastModified><Size>7</Size></Version>
<Version><Key>a&amp;b</Key><VersionId>null</VersionId><IsLatest>false</IsLatest><LastModified>2009-10-11T17:50:30.000Z</LastModified><Size>5</Size></Version>
<DeleteMarker><Key><![CDATA[c<]]></Key><VersionId>x</VersionId><IsLatest>true</IsLatest><LastModified>2009-11-12T17:50:30.000Z</LastModified></DeleteMarker>
</ListVersionsResult>
`

const uploads = `<s3:ListMultipartUploadsResult xmlns:s3="http://s3.amazonaws.com/doc/2006-03-01/"><s3:IsTruncated>false</s3:IsTruncated>
<s3:Upload><s3:Key>big</s3:Key><s3:UploadId>u1</s3:UploadId><s3:Initiator><s3:ID>i</s3:ID></s3:Initiator><s3:Initiated>2010-11-10T20:48:33.000Z</s3:Initiated></s3:Upload>
</s3:ListMultipartUploadsResult>`

func unix(text string) int64 {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t.Unix()
}

func TestPages(t *testing.T) {
	for name, c := range map[string]struct {
		listing Listing
		body    string
		want    Page
	}{
		"objects": {Objects, objects, Page{
			Truncated: true, Token: "1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=",
			Entries: []Entry{
				{Key: []byte("my-image.jpg"), Size: 434234, At: unix("2009-10-12T17:50:30Z")},
				{Key: []byte("sou\nrce/a b+"), At: unix("2024-02-29T23:59:59Z")},
			},
		}},
		"versions": {Versions, versions, Page{NextKey: "k&k", NextMark: "x", Entries: []Entry{
			{Key: []byte("a&b"), ID: []byte("3/L4"), Size: 7, At: unix("2009-10-12T17:50:30Z")},
			{Key: []byte("a&b"), ID: []byte("null"), Size: 5, At: unix("2009-10-11T17:50:30Z"), Class: Older},
			{Key: []byte("c<"), ID: []byte("x"), At: unix("2009-11-12T17:50:30Z"), Class: Marker},
		}}},
		"uploads": {Uploads, uploads, Page{Entries: []Entry{
			{Key: []byte("big"), ID: []byte("u1"), At: unix("2010-11-10T20:48:33Z"), Class: Upload},
		}}},
		"empty": {Objects, `<ListBucketResult/>`, Page{}},
	} {
		p := Page{body: []byte(c.body)}
		if err := p.parse(c.listing); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p.body = nil
		if len(p.Entries) == 0 {
			p.Entries = nil
		}
		if diff := cmp.Diff(c.want, p, cmp.AllowUnexported(Page{})); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestBrokenPages(t *testing.T) {
	wrap := func(s string) string { return "<ListBucketResult>" + s + "</ListBucketResult>" }
	deep := strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40)
	for name, body := range map[string]string{
		"nothing": "", "page of a proxy": "<html><body>oops</body></html>", "text": "hello", "cut": objects[:len(objects)-40],
		"other listing": versions, "bomb": `<!DOCTYPE x [<!ENTITY a "aaaa">]>` + wrap("&a;"), "entity": wrap("<Name>&a;</Name>"),
		"crossed": wrap("<Contents><Key>a</Contents></Key>"), "no key": wrap("<Contents><Size>1</Size></Contents>"),
		"negative": wrap("<Contents><Key>a</Key><Size>-1</Size></Contents>"), "huge": wrap("<Contents><Key>a</Key><Size>99999999999999999999</Size></Contents>"),
		"time": wrap("<Contents><Key>a</Key><LastModified>soon</LastModified></Contents>"), "truncated": wrap("<IsTruncated>maybe</IsTruncated>"),
		"encoding": wrap("<EncodingType>url</EncodingType><Contents><Key>%zz</Key></Contents>"), "deep": wrap("<X>" + deep + "</X>"),
		"behind": wrap("") + "<a/>", "loose text": wrap("abc"), "zero": wrap("<Name>&#0;</Name>"), "long key": wrap("<Contents><Key>" + strings.Repeat("k", 20_000) + "</Key></Contents>"),
		"many": wrap(strings.Repeat("<Contents><Key>k</Key></Contents>", 10_001)), "misclosed": "<ListBucketResult></Other>",
	} {
		p := Page{body: []byte(body)}
		if err := p.parse(Objects); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What encoding/xml makes of the same bytes: the peer of every listing library.
type peerPage struct {
	XMLName      xml.Name `xml:"ListBucketResult"`
	EncodingType string
	IsTruncated  bool
	Contents     []struct {
		Key          string
		LastModified time.Time
		Size         int64
	}
}

// FuzzPage holds our scanner against encoding/xml: nothing hangs or panics, and
// what both read they read alike.
func FuzzPage(f *testing.F) {
	for _, s := range []string{objects, versions, uploads, "<ListBucketResult/>", "<ListBucketResult><Contents><Key>a&#x26;</Key></Contents></ListBucketResult>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for l := range Uploads + 1 {
			p := Page{body: bytes.Clone(body)}
			err := p.parse(l)
			if l != Objects || err != nil {
				continue
			}
			var peer peerPage
			if xml.Unmarshal(body, &peer) != nil || len(peer.Contents) != len(p.Entries) || peer.EncodingType == "url" {
				continue // it knows more of XML than S3 ever says
			}
			for i, e := range p.Entries {
				if theirs := peer.Contents[i]; theirs.Size != e.Size {
					t.Errorf("size %d, encoding/xml has %d", e.Size, theirs.Size)
				}
			}
		}
	})
}

func FuzzWalk(f *testing.F) {
	f.Add([]byte(`<?xml version="1.0"?><Error><Code>NoSuchBucket</Code><Message>a<b/></Message></Error>`))
	f.Fuzz(func(_ *testing.T, body []byte) {
		_, _ = walk(body, func(string, []byte) error { return nil })
	})
}

func thousand() []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>`)
	for i := range 1000 {
		fmt.Fprintf(&b, `<Contents><Key>%s</Key><LastModified>2026-11-%02dT12:00:00.000Z</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>%d</Size><StorageClass>STANDARD</StorageClass></Contents>`,
			url.QueryEscape(fmt.Sprintf("pipelines/%06d/artifact.tar.gz", i)), 1+i%30, i*1024)
	}
	b.WriteString(`</ListBucketResult>`)
	return b.Bytes()
}

// BenchmarkPage reads a page of 1000 keys, and BenchmarkPageEncodingXML what
// libraries read it with: the reason for a scanner of our own.
func BenchmarkPage(b *testing.B) {
	p := Page{body: thousand()}
	for b.Loop() {
		if err := p.parse(Objects); err != nil || len(p.Entries) != 1000 {
			b.Fatal(err)
		}
	}
}

func BenchmarkPageEncodingXML(b *testing.B) {
	body := thousand()
	for b.Loop() {
		var p peerPage
		if err := xml.Unmarshal(body, &p); err != nil || len(p.Contents) != 1000 {
			b.Fatal(err)
		}
	}
}
