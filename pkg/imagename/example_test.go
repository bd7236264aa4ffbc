package imagename_test

import (
	"context"
	"fmt"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/imagename"
)

// The record says that west owns the image, and the name carries it out: from here on no
// handle of east's leads to it.
func ExampleTake() {
	ctx := context.Background()
	if err := takeForWest(ctx, cephtest.New(cephtest.Pool{Name: "rbd", Images: []cephtest.Image{
		{Name: "shop.data", Layout: ceph.Layout{Size: 1 << 20, Features: []string{"exclusive-lock"}}, Keyed: true},
	}})); err != nil {
		fmt.Println(err)
	}
	// Output:
	// before: shop.data
	// owned by west: shop.data~west
	// released: shop.data
}

func takeForWest(ctx context.Context, all *cephtest.Ceph) error {
	west := ceph.Party{UID: "c2", Name: "west"}
	storage, err := all.Dial(ctx, cephtest.Provisioner)
	if err != nil {
		return err
	}
	self, err := storage.Self(ctx)
	if err != nil {
		return err
	}
	spec := ceph.ImageSpec{Pool: "rbd", Name: "shop.data"}
	if spec.Key, err = imagename.ClaimKey(ctx, storage, spec, west); err != nil {
		return err
	}
	image, err := storage.Image(ctx, spec)
	if err != nil {
		return err
	}
	fmt.Println("before:", image.Named)
	image, _, err = imagename.Take(ctx, storage, image, west, []string{self}, self)
	if err != nil {
		return err
	}
	fmt.Println("owned by west:", image.Named)
	if err := imagename.GiveBack(ctx, storage, image); err != nil {
		return err
	}
	image, err = storage.Image(ctx, spec)
	fmt.Println("released:", image.Named)
	return err
}
