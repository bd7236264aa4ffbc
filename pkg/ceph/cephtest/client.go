package cephtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// client is one connection.
type client struct {
	ceph *Ceph
	user User
	// self is the client's address.
	self string
}

var _ ceph.Cluster = (*client)(nil)

func (c *client) Image(ctx context.Context, spec ceph.ImageSpec) (ceph.Image, error) {
	return do(ctx, c, Call{Method: "Image", Image: spec}, Observer, func() (ceph.Image, error) {
		name, found, err := c.ceph.find(spec)
		if err != nil {
			return ceph.Image{}, err
		}
		return found.describe(spec, name), nil
	})
}

func (c *client) CreateImage(ctx context.Context, spec ceph.ImageSpec, layout ceph.Layout) (ceph.Image, error) {
	return do(ctx, c, Call{Method: "CreateImage", Image: spec}, Provisioner, func() (ceph.Image, error) {
		return c.ceph.createImage(spec, layout)
	})
}

func (c *client) GrowImage(ctx context.Context, spec ceph.ImageSpec, size uint64) error {
	_, err := do(ctx, c, Call{Method: "GrowImage", Image: spec}, Provisioner, func() (struct{}, error) {
		return struct{}{}, c.ceph.growImage(spec, size)
	})
	return err
}

func (c *client) Watchers(ctx context.Context, spec ceph.ImageSpec) ([]ceph.Watcher, error) {
	return do(ctx, c, Call{Method: "Watchers", Image: spec}, Observer, func() ([]ceph.Watcher, error) {
		_, found, err := c.ceph.find(spec)
		if err != nil {
			return nil, err
		}
		return found.sortedWatchers(), nil
	})
}

// Look is the calls of Image, Record and Watchers, and seen as such: a test can come between
// them as other clients can.
func (c *client) Look(ctx context.Context, spec ceph.ImageSpec) (ceph.Look, error) {
	var look ceph.Look
	var err error
	if look.Image, err = c.Image(ctx, spec); err != nil {
		return ceph.Look{}, err
	}
	if look.Record, err = c.Record(ctx, look.Image); err != nil && !errors.Is(err, ceph.ErrRecordNotFound) {
		return ceph.Look{}, err
	}
	look.Watchers, err = do(ctx, c, Call{Method: "Watchers", Image: spec}, Observer, func() ([]ceph.Watcher, error) {
		space, err := c.ceph.namespace(spec)
		if err != nil {
			return nil, err
		}
		for _, found := range space.images {
			if found.id == look.Image.ID {
				return found.sortedWatchers(), nil
			}
		}
		return nil, ceph.ErrImageNotFound
	})
	if err != nil {
		return ceph.Look{}, err
	}
	return look, nil
}

func (i *image) sortedWatchers() []ceph.Watcher {
	return slices.SortedFunc(slices.Values(i.watchers), ceph.Watcher.Compare)
}

func (c *client) Namespaces(ctx context.Context, pool string) ([]string, error) {
	return do(ctx, c, Call{Method: "Namespaces", Image: ceph.ImageSpec{Pool: pool}}, Observer, func() ([]string, error) {
		var names []string
		for _, name := range slices.Sorted(maps.Keys(c.ceph.pools[pool].namespaces)) {
			if name != "" {
				names = append(names, name)
			}
		}
		return names, nil
	})
}

func (c *client) Record(ctx context.Context, image ceph.Image) (ceph.Record, error) {
	return do(ctx, c, Call{Method: "Record", Image: image.ImageSpec}, Observer, func() (ceph.Record, error) {
		space, err := c.ceph.namespace(image.ImageSpec)
		if err != nil {
			return ceph.Record{}, err
		}
		return readRecord(space.records, ceph.RecordObject(image.ID))
	})
}

func (c *client) PutRecord(ctx context.Context, image ceph.Image, record ceph.Record) (ceph.Record, error) {
	return do(ctx, c, Call{Method: "PutRecord", Image: image.ImageSpec}, Operator, func() (ceph.Record, error) {
		space, err := c.ceph.namespace(image.ImageSpec)
		if err != nil {
			return ceph.Record{}, err
		}
		name := ceph.RecordObject(image.ID)
		_, exists := space.records[name]
		if record.Revision == 0 && !exists && c.ceph.pools[image.Pool].full {
			return ceph.Record{}, ceph.ErrPoolFull
		}
		return c.ceph.putRecord(space.records, name, record)
	})
}

// Close ends the connection. A second Close does nothing.
func (c *client) Close() error {
	c.ceph.mu.Lock()
	defer c.ceph.mu.Unlock()
	delete(c.ceph.open, c)
	return nil
}

// do makes one call: it counts it, lets the interceptor decide, and carries it
// out if the user is needed or more.
func do[T any](ctx context.Context, c *client, call Call, needed User, carryOut func() (T, error)) (T, error) {
	c.ceph.mu.Lock()
	c.ceph.calls = append(c.ceph.calls, call)
	open, intercept := c.ceph.open[c], c.ceph.intercept
	c.ceph.mu.Unlock()

	var result T
	proceed := func() (err error) {
		c.ceph.mu.Lock()
		defer c.ceph.mu.Unlock()
		if err := c.ceph.exists(call); err != nil {
			return err
		}
		if c.user > needed {
			return ceph.ErrPermission
		}
		// The monitors answer those too whom the OSDs refuse.
		if call != (Call{Method: call.Method}) && c.ceph.fenced(c.self) {
			return ceph.ErrBlocklisted
		}
		result, err = carryOut()
		return err
	}
	err := ctx.Err()
	switch {
	case err != nil:
	case !open:
		err = fs.ErrClosed
	case intercept != nil:
		err = intercept(ctx, call, proceed)
	default:
		err = proceed()
	}
	if err != nil {
		var none T
		return none, fmt.Errorf("%s: %w", call, err)
	}
	return result, nil
}

// String is the call as goceph's errors begin.
func (c Call) String() string {
	switch c.Method {
	case "Image":
		return fmt.Sprintf("look at image %q", c.Image)
	case "CreateImage":
		return fmt.Sprintf("create image %q", c.Image)
	case "GrowImage":
		return fmt.Sprintf("grow image %q", c.Image)
	case "LockHolder":
		return fmt.Sprintf("look who has the lock of image %q", c.Image)
	case "Self":
		return "look for the own address"
	case "FSID":
		return "look for the id of the ceph cluster"
	case "PoolID":
		return fmt.Sprintf("look for the id of pool %q", c.Image.Pool)
	case "MayFence":
		return "ask for the right to change the blocklist"
	case "Keys":
		return fmt.Sprintf("list the keys of pool %q, rados namespace %q", c.Image.Pool, c.Image.Namespace)
	case "ClaimKey":
		return fmt.Sprintf("claim a key in pool %q, rados namespace %q", c.Image.Pool, c.Image.Namespace)
	case "ImageNames":
		return fmt.Sprintf("look for the names of image %q", c.Image)
	case "RenameImage":
		return fmt.Sprintf("rename image %q", c.Image)
	case "Watchers":
		return fmt.Sprintf("list watchers of image %q", c.Image)
	case "Namespaces":
		return fmt.Sprintf("list rados namespaces of pool %q", c.Image.Pool)
	case "Record":
		return fmt.Sprintf("read record of image %q", c.Image)
	case "PutRecord":
		return fmt.Sprintf("write record of image %q", c.Image)
	case "Note":
		return fmt.Sprintf("read note of image %q", c.Image)
	case "PutNote":
		return fmt.Sprintf("write note of image %q", c.Image)
	case "Records":
		return fmt.Sprintf("list the records of pool %q, rados namespace %q", c.Image.Pool, c.Image.Namespace)
	case "Registrations":
		return fmt.Sprintf("list the clusters that are registered in pool %q, rados namespace %q", c.Image.Pool, c.Image.Namespace)
	case "Registration":
		return fmt.Sprintf("read registration %q", c.Image)
	case "PutRegistration":
		return fmt.Sprintf("write registration %q", c.Image)
	case "Daemons":
		return "find the machines of ceph"
	case "Blocklist":
		return "put on the blocklist"
	case "Unblocklist":
		return "take off the blocklist"
	case "Blocklisted":
		return "list the blocklist"
	case "Barrier":
		return fmt.Sprintf("wait for the blocklist at image %q", c.Image)
	case "Subvolume":
		return fmt.Sprintf("look at subvolume %q", c.Subvolume)
	case "CreateSubvolume":
		return fmt.Sprintf("create subvolume %q", c.Subvolume)
	case "GrowSubvolume":
		return fmt.Sprintf("grow subvolume %q", c.Subvolume)
	case "SubvolumeRecord":
		return fmt.Sprintf("read record of subvolume %q", c.Subvolume)
	case "PutSubvolumeRecord":
		return fmt.Sprintf("write record of subvolume %q", c.Subvolume)
	}
	return c.Method
}

// exists checks that there is the pool or the file system of the call.
func (c *Ceph) exists(call Call) error {
	if name := call.Subvolume.Filesystem; name != "" {
		if c.filesystems[name] == nil {
			return ceph.ErrFilesystemNotFound
		}
	} else if name := call.Image.Pool; name != "" && c.pools[name] == nil {
		return ceph.ErrPoolNotFound
	}
	return nil
}

func (c *Ceph) namespace(spec ceph.ImageSpec) (*namespace, error) {
	p, ok := c.pools[spec.Pool]
	if !ok {
		return nil, ceph.ErrPoolNotFound
	}
	space, ok := p.namespaces[spec.Namespace]
	if !ok {
		return nil, ceph.ErrNamespaceNotFound
	}
	return space, nil
}

// find returns the image that spec names, and the name that leads to it.
func (c *Ceph) find(spec ceph.ImageSpec) (string, *image, error) {
	if _, err := c.namespace(spec); err != nil {
		return "", nil, err
	}
	name, found := c.lookup(spec)
	if found == nil {
		return "", nil, ceph.ErrImageNotFound
	}
	return name, found, nil
}

// lookup is find in a rados namespace that exists. Without an image it returns nil.
func (c *Ceph) lookup(spec ceph.ImageSpec) (string, *image) {
	space := c.pools[spec.Pool].namespaces[spec.Namespace]
	names := []string{spec.Own(), spec.Name}
	if spec.Key != "" {
		for _, key := range slices.Sorted(maps.Keys(space.listed)) {
			names = append(names, ceph.JoinName(spec.Name, key))
		}
	}
	for _, name := range names {
		if found := space.images[name]; found != nil {
			return name, found
		}
	}
	return "", nil
}

func (c *Ceph) createImage(spec ceph.ImageSpec, layout ceph.Layout) (ceph.Image, error) {
	space, err := c.namespace(spec)
	if err != nil {
		return ceph.Image{}, err
	}
	if err := layout.Validate(); err != nil {
		return ceph.Image{}, err
	}
	dataPool := cmp.Or(layout.DataPool, spec.Pool)
	if _, ok := c.pools[dataPool]; !ok {
		return ceph.Image{}, fmt.Errorf("data pool %q: %w", dataPool, ceph.ErrPoolNotFound)
	}
	if _, taken := c.lookup(spec); taken != nil {
		return ceph.Image{}, ceph.ErrImageExists
	}
	if c.pools[spec.Pool].full {
		return ceph.Image{}, ceph.ErrPoolFull
	}
	layout.ObjectSize = cmp.Or(layout.ObjectSize, 4<<20)
	layout.StripeUnit = cmp.Or(layout.StripeUnit, layout.ObjectSize)
	layout.StripeCount = cmp.Or(layout.StripeCount, 1)
	if layout.DataPool == spec.Pool {
		layout.DataPool = ""
	}
	made := &image{
		id:       fmt.Sprintf("%x", c.next()),
		listed:   spec.Name,
		layout:   layout,
		features: impliedFeatures(layout),
	}
	space.images[spec.Name] = made
	return made.describe(spec, spec.Name), nil
}

// impliedFeatures are the features that librbd gives an image with that layout,
// sorted.
func impliedFeatures(layout ceph.Layout) []string {
	names := slices.Clone(layout.Features)
	if slices.Contains(names, "object-map") {
		names = append(names, "fast-diff")
	}
	if layout.DataPool != "" {
		names = append(names, "data-pool")
	}
	if layout.StripeUnit != layout.ObjectSize || layout.StripeCount != 1 {
		names = append(names, "striping")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (c *Ceph) growImage(spec ceph.ImageSpec, size uint64) error {
	_, found, err := c.find(spec)
	switch {
	case err != nil:
		return err
	case size < found.layout.Size:
		return fmt.Errorf("from %d to %d bytes: %w", found.layout.Size, size, ceph.ErrImageShrinks)
	case size == found.layout.Size:
		return nil
	}
	if err := c.lockOf(found); err != nil {
		return err
	}
	// A quota does not matter here: it counts objects and bytes in objects, and
	// this adds neither.
	found.layout.Size = size
	return nil
}

func (i *image) describe(spec ceph.ImageSpec, named string) ceph.Image {
	return ceph.Image{ImageSpec: spec, Named: named, ID: i.id, Size: i.layout.Size, Features: slices.Clone(i.features)}
}

func readRecord(records map[string]object, name string) (ceph.Record, error) {
	stored, ok := records[name]
	if !ok {
		return ceph.Record{}, ceph.ErrRecordNotFound
	}
	record, err := ceph.DecodeRecord(stored.data)
	if err != nil {
		return ceph.Record{}, err
	}
	record.Revision = stored.version
	return record, nil
}

func (c *Ceph) putRecord(records map[string]object, name string, record ceph.Record) (ceph.Record, error) {
	// An absent object has version zero, as a record that was not found has.
	if records[name].version != record.Revision {
		return ceph.Record{}, ceph.ErrRecordChanged
	}
	record.Token = c.token()
	record.Revision = c.next()
	records[name] = object{record.Encode(), record.Revision}
	return record, nil
}
