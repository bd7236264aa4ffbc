//go:build lab && cgo

package goceph

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rbd"

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

// BenchmarkWatchers shows what listing watchers costs beside the cheapest thing
// that RADOS does, and what it would cost to open the image.
func BenchmarkWatchers(b *testing.B) {
	l := labtest.Ceph(b)
	cluster, err := dial(b.Context(), Config{ConfFile: l.ConfFile, Timeout: 10 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Close()
	var images []ceph.Image
	for i := range 200 {
		image, err := cluster.CreateImage(b.Context(), ceph.ImageSpec{Pool: lab.Pool, Name: fmt.Sprintf("bench-%d", i)},
			ceph.Layout{Size: 1 << 30, Features: []string{"layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten"}})
		if err != nil {
			b.Fatal(err)
		}
		images = append(images, image)
	}
	ioctx, err := cluster.open(lab.Pool)
	if err != nil {
		b.Fatal(err)
	}
	defer ioctx.Destroy()
	open := func(b *testing.B) *rbd.Image {
		image, err := rbd.OpenImageReadOnly(ioctx, images[0].Name, rbd.NoSnapshot)
		if err != nil {
			b.Fatal(err)
		}
		return image
	}
	list := func(b *testing.B, image *rbd.Image) {
		if _, err := image.ListWatchers(); err != nil {
			b.Fatal(err)
		}
	}
	watchers := func(b *testing.B, image ceph.Image) {
		if _, err := cluster.Watchers(b.Context(), image.ImageSpec); err != nil {
			b.Error(err)
		}
	}

	b.Run("rados stat", func(b *testing.B) {
		for b.Loop() {
			if _, err := ioctx.Stat(headerObject(images[0].ID)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("librbd open, list, close", func(b *testing.B) {
		for b.Loop() {
			image := open(b)
			list(b, image)
			image.Close()
		}
	})
	b.Run("librbd list", func(b *testing.B) {
		image := open(b)
		defer image.Close()
		for b.Loop() {
			list(b, image)
		}
	})
	b.Run("Watchers", func(b *testing.B) {
		for b.Loop() {
			watchers(b, images[0])
		}
	})
	b.Run("Watchers by 16", func(b *testing.B) {
		b.SetParallelism(8) // times GOMAXPROCS
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				watchers(b, images[0])
			}
		})
	})
	b.Run("Watchers of many images", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			watchers(b, images[i%len(images)])
		}
	})
	b.Run("Look", func(b *testing.B) {
		for b.Loop() {
			if _, err := cluster.Look(b.Context(), images[0].ImageSpec); err != nil {
				b.Fatal(err)
			}
		}
	})
}
