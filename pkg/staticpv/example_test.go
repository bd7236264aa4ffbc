package staticpv_test

import (
	"fmt"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

// A claim's image is named after the claim, and each ordinal of a StatefulSet has one.
func ExampleNamesOf() {
	fmt.Println(staticpv.NamesOf("shop", "data", annotations.Claim{}).Image)
	fmt.Println(staticpv.NamesOf("shop", "data", annotations.Claim{Image: "orders"}).Image)

	ordinal := staticpv.ClaimName("data", "db", 1)
	fmt.Println(ordinal, staticpv.NamesOfOrdinal("shop", ordinal, annotations.Claim{}, 1).Image)
	fmt.Println(ordinal, staticpv.NamesOfOrdinal("shop", ordinal, annotations.Claim{Image: "orders"}, 1).Image)
	// Output:
	// shop.data
	// orders
	// data-db-1 shop.data-db-1
	// data-db-1 orders-1
}

// The PersistentVolumes of each cluster have a name of their own for one image. It carries that
// of its owner, so the handle of every other cluster leads nowhere.
func ExampleHandle() {
	for _, key := range []string{"east", "west", ""} {
		handle := staticpv.Handle("shop.data", key)
		image := staticpv.StaticImage(handle)
		fmt.Printf("%s: image %s, key %q\n", handle, image.Name, image.Key)
	}
	// Output:
	// shop.data~east: image shop.data, key "east"
	// shop.data~west: image shop.data, key "west"
	// shop.data: image shop.data, key ""
}

// Names that Kubernetes does not take are written as it can, and stay apart.
func ExampleVolumeName() {
	for _, image := range []string{"shop.data", "Shop.Orders_2024", "shop.orders_2024"} {
		fmt.Println(staticpv.VolumeName(image))
	}
	// Output:
	// shop.data
	// shop.orders-2024.image-567d4a893cced963
	// shop.orders-2024.image-39a05835a1966a8e
}
