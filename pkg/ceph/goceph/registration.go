//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

const (
	// maxRegistration bounds a registration in bytes, as maxRecord does a record. It is
	// enough for 10,000 nodes.
	maxRegistration = 4 << 20
	// registerPage is how many uids are read at a time.
	registerPage = 100
)

// registrationSpec is where the registration is, as `rados` names objects.
func registrationSpec(pool, namespace, uid string) ceph.ImageSpec {
	return ceph.ImageSpec{Pool: pool, Namespace: namespace, Name: ceph.RegistrationObject(uid)}
}

func (c *connection) Registrations(ctx context.Context, pool, namespace string) ([]ceph.RegistrationOf, error) {
	uids, err := c.registered(ctx, ceph.ImageSpec{Pool: pool, Namespace: namespace})
	if err != nil {
		return nil, fmt.Errorf("list the clusters that are registered in pool %q, rados namespace %q: %w", pool, namespace, err)
	}
	var all []ceph.RegistrationOf
	for _, uid := range uids {
		registration, err := c.Registration(ctx, pool, namespace, uid)
		switch {
		case errors.Is(err, ceph.ErrRegistrationNotFound):
			// Its uid is written first, and it died then.
		case err == nil, errors.Is(err, ceph.ErrRegistrationUnknown):
			all = append(all, ceph.RegistrationOf{UID: uid, Registration: registration, Err: err})
		default:
			return nil, err
		}
	}
	return all, nil
}

// registered are the uids of the clusters that are registered, sorted. Each page is a call
// with a bound of its own.
func (c *connection) registered(ctx context.Context, spec ceph.ImageSpec) ([]string, error) {
	var all []string
	for last := ""; ; {
		page, err := do(ctx, c, spec, func(ioctx *rados.IOContext) ([]string, error) {
			if err := c.checkNamespace(spec); err != nil {
				return nil, err
			}
			entries, err := ioctx.GetOmapValues(ceph.RegisterObject, last, "", registerPage)
			if errno(err) == enoent {
				return nil, nil // it is made with the first registration
			}
			return slices.Sorted(maps.Keys(entries)), translate(err, nil)
		})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < registerPage {
			return all, nil
		}
		last = page[len(page)-1]
	}
}

func (c *connection) Registration(ctx context.Context, pool, namespace, uid string) (ceph.Registration, error) {
	spec := registrationSpec(pool, namespace, uid)
	registration, err := do(ctx, c, spec, func(ioctx *rados.IOContext) (ceph.Registration, error) {
		data, version, err := readObject(ioctx, spec.Name, maxRegistration, ceph.ErrRegistrationNotFound)
		if errors.Is(err, ceph.ErrRegistrationNotFound) {
			err = c.absent(spec, err)
		}
		if err != nil {
			return ceph.Registration{}, err
		}
		registration, err := ceph.DecodeRegistration(uid, data)
		if err != nil {
			return ceph.Registration{}, err
		}
		registration.Revision = version
		return registration, nil
	})
	if err != nil {
		return ceph.Registration{}, fmt.Errorf("read registration %q: %w", spec, err)
	}
	return registration, nil
}

func (c *connection) PutRegistration(ctx context.Context, pool, namespace string, registration ceph.Registration) (ceph.Registration, error) {
	spec := registrationSpec(pool, namespace, registration.UID)
	put, err := do(ctx, c, spec, func(ioctx *rados.IOContext) (ceph.Registration, error) {
		if err := c.checkNamespace(spec); err != nil {
			return ceph.Registration{}, err
		}
		registration.Token = rand.Text()
		data := registration.Encode()
		if len(data) > maxRegistration {
			return ceph.Registration{}, fmt.Errorf("a registration of %d bytes; at most %d are read", len(data), maxRegistration)
		}
		if registration.Revision == 0 {
			// First, so that no registration is there that nobody finds.
			if err := listRegistration(ioctx, registration.UID); err != nil {
				return ceph.Registration{}, err
			}
		}
		var err error
		registration.Revision, err = swapObject(ioctx, spec.Name, data, registration.Revision, ceph.ErrRegistrationChanged)
		if err != nil {
			return ceph.Registration{}, err
		}
		return registration, nil
	})
	if err != nil {
		return ceph.Registration{}, fmt.Errorf("write registration %q: %w", spec, err)
	}
	return put, nil
}

// listRegistration makes [connection.Registrations] look for that of the cluster.
func listRegistration(ioctx *rados.IOContext, uid string) error {
	op := rados.CreateWriteOp()
	defer op.Release()
	op.SetOmap(map[string][]byte{uid: []byte("registered")})
	return translate(op.Operate(ioctx, ceph.RegisterObject, rados.OperationNoFlag), nil)
}
