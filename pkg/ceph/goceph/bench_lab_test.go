//go:build lab && cgo

package goceph

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
)

func BenchmarkCluster(b *testing.B) {
	l := labtest.Ceph(b)
	config := Config{ConfFile: l.ConfFile, Timeout: 10 * time.Second}
	cluster, err := Dial(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Close()
	layout := ceph.Layout{Size: 1 << 30, Features: []string{"layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten"}}
	var n atomic.Int64
	create := func(b *testing.B) ceph.Image {
		spec := ceph.ImageSpec{Pool: lab.Pool, Name: fmt.Sprintf("bench-%d", n.Add(1))}
		image, err := cluster.CreateImage(b.Context(), spec, layout)
		if err != nil {
			b.Fatal(err)
		}
		return image
	}
	image := create(b)

	b.Run("CreateImage", func(b *testing.B) {
		for b.Loop() {
			create(b)
		}
	})
	b.Run("CreateImage by 16", func(b *testing.B) {
		b.SetParallelism(8) // times GOMAXPROCS
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				create(b)
			}
		})
	})
	b.Run("Image", func(b *testing.B) {
		for b.Loop() {
			if _, err := cluster.Image(b.Context(), image.ImageSpec); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("PutRecord", func(b *testing.B) {
		var record ceph.Record
		for b.Loop() {
			record, err = cluster.PutRecord(b.Context(), image, record)
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Record", func(b *testing.B) {
		for b.Loop() {
			if _, err := cluster.Record(b.Context(), image); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("GrowImage", func(b *testing.B) {
		size := layout.Size
		for b.Loop() {
			size += 1 << 20
			if err := cluster.GrowImage(b.Context(), image.ImageSpec, size); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("rbd create", func(b *testing.B) {
		for b.Loop() {
			if _, err := l.RBD(b.Context(), "create", "--size", "1G", fmt.Sprintf("%s/bench-%d", lab.Pool, n.Add(1))); err != nil {
				b.Fatal(err)
			}
		}
	})
}
