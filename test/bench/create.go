package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cephferry/cephferry/test/lab"
)

const images = 200

// creating measures how long a release with many claims takes, beside a loop
// over the rbd command.
func creating(ctx context.Context, out io.Writer, dir string, tools lab.Tools) error {
	ceph, err := lab.StartCeph(ctx, lab.Options{Dir: filepath.Join(dir, "ceph"), Tools: tools})
	if err != nil {
		return err
	}
	defer ceph.Stop()
	class := filepath.Join(dir, "class.yaml")
	if err := os.WriteFile(class, []byte(storageClass(lab.Pool)), 0o600); err != nil {
		return err
	}
	postrender, err := tools.Find("postrender")
	if err != nil {
		return err
	}
	loop := &contender{name: "a loop of rbd create"}
	ours := &contender{name: "postrender --create client"}
	again := &contender{name: "the same again, nothing to do"}
	for round := range slowRounds {
		var stream bytes.Buffer
		begin := time.Now()
		for i := range images {
			if _, err := ceph.RBD(ctx, "create", "--size", "1G", fmt.Sprintf("%s/loop.%d-%d", lab.Pool, round, i)); err != nil {
				return err
			}
			stream.WriteString(claim(fmt.Sprintf("data-%d-%d", round, i)))
		}
		loop.times = append(loop.times, time.Since(begin))
		file := filepath.Join(dir, "claims.yaml")
		if err := os.WriteFile(file, stream.Bytes(), 0o600); err != nil {
			return err
		}
		once := command(file, postrender, "--create=client", "--namespace", "shop", "--storage-class", class, "--ceph-conf", ceph.ConfFile)
		for _, c := range []*contender{ours, again} {
			elapsed, err := once(ctx)
			if err != nil {
				return err
			}
			c.times = append(c.times, elapsed)
		}
	}
	medians(out, fmt.Sprintf("Making %d images of 1 GiB", images), ours, []*contender{loop, ours, again})
	return nil
}
