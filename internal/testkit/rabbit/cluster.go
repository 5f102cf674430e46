package rabbit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"github.com/colliehq/collie/internal/testkit/launch"
)

// Cluster is some nodes that share everything, as quorum queues need.
type Cluster struct{ Nodes []*Broker }

// StartCluster starts n nodes that find each other, and waits until all of
// them do.
func StartCluster(ctx context.Context, o Options, n int) (*Cluster, error) {
	e, err := startEpmd()
	if err != nil {
		return nil, err
	}
	defer e.leave() //nolint:errcheck // the nodes hold it
	conf := append([]string{
		"cluster_formation.peer_discovery_backend = classic_config",
		"cluster_partition_handling = pause_minority",
	}, o.Conf...)
	for i := range n {
		conf = append(conf, fmt.Sprintf("cluster_formation.classic_config.nodes.%d = %s", i+1, nodeName(i)))
	}
	c := &Cluster{}
	for i := range n {
		b, err := newBroker(Options{Dir: filepath.Join(o.Dir, strconv.Itoa(i)), Conf: conf}, nodeName(i), e.join())
		if err == nil {
			err = b.launch()
		}
		if err != nil {
			return nil, errors.Join(err, e.leave(), c.Stop())
		}
		c.Nodes = append(c.Nodes, b)
	}
	if err := c.await(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func nodeName(i int) string { return fmt.Sprintf("n%d@localhost", i+1) }

func (c *Cluster) await(ctx context.Context) error {
	for _, b := range c.Nodes {
		if err := b.await(ctx); err != nil {
			return err
		}
	}
	first := c.Nodes[0]
	last := c.Nodes[len(c.Nodes)-1].name
	return launch.AwaitHTTP(ctx, "http://"+User+":"+Password+"@"+first.ManagementURL()[len("http://"):]+"/api/nodes", last, first.process)
}

// URLs are the AMQP URLs of the nodes.
func (c *Cluster) URLs() (urls []string) {
	for _, b := range c.Nodes {
		urls = append(urls, b.URL())
	}
	return urls
}

// Stop ends every node.
func (c *Cluster) Stop() error {
	var errs []error
	for _, b := range c.Nodes {
		errs = append(errs, b.Stop())
	}
	return errors.Join(errs...)
}

func dial(ctx context.Context, port int) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return err
	}
	return conn.Close()
}
