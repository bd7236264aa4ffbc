package cephtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func registrationSpec(pool, namespace, uid string) ceph.ImageSpec {
	return ceph.ImageSpec{Pool: pool, Namespace: namespace, Name: ceph.RegistrationObject(uid)}
}

func (c *client) Registrations(ctx context.Context, pool, namespace string) ([]ceph.RegistrationOf, error) {
	spec := ceph.ImageSpec{Pool: pool, Namespace: namespace}
	return do(ctx, c, Call{Method: "Registrations", Image: spec}, Observer, func() ([]ceph.RegistrationOf, error) {
		space, err := c.ceph.namespace(spec)
		if err != nil {
			return nil, err
		}
		var all []ceph.RegistrationOf
		for _, name := range slices.Sorted(maps.Keys(space.records)) {
			uid, ok := strings.CutPrefix(name, ceph.RegistrationObject(""))
			if !ok {
				continue
			}
			registration, err := readRegistration(space, uid)
			if err != nil {
				err = fmt.Errorf("read registration %q: %w", registrationSpec(pool, namespace, uid), err)
			}
			all = append(all, ceph.RegistrationOf{UID: uid, Registration: registration, Err: err})
		}
		return all, nil
	})
}

func (c *client) Registration(ctx context.Context, pool, namespace, uid string) (ceph.Registration, error) {
	spec := registrationSpec(pool, namespace, uid)
	return do(ctx, c, Call{Method: "Registration", Image: spec}, Observer, func() (ceph.Registration, error) {
		space, err := c.ceph.namespace(spec)
		if err != nil {
			return ceph.Registration{}, err
		}
		return readRegistration(space, uid)
	})
}

func (c *client) PutRegistration(ctx context.Context, pool, namespace string, registration ceph.Registration) (ceph.Registration, error) {
	spec := registrationSpec(pool, namespace, registration.UID)
	return do(ctx, c, Call{Method: "PutRegistration", Image: spec}, Operator, func() (ceph.Registration, error) {
		space, err := c.ceph.namespace(spec)
		if err != nil {
			return ceph.Registration{}, err
		}
		stored, exists := space.records[spec.Name]
		switch {
		case stored.version != registration.Revision:
			return ceph.Registration{}, ceph.ErrRegistrationChanged
		case !exists && c.ceph.pools[pool].full:
			return ceph.Registration{}, ceph.ErrPoolFull
		}
		registration.Token, registration.Revision = c.ceph.token(), c.ceph.next()
		space.records[spec.Name] = object{registration.Encode(), registration.Revision}
		return registration, nil
	})
}

func readRegistration(space *namespace, uid string) (ceph.Registration, error) {
	stored, ok := space.records[ceph.RegistrationObject(uid)]
	if !ok {
		return ceph.Registration{}, ceph.ErrRegistrationNotFound
	}
	registration, err := ceph.DecodeRegistration(uid, stored.data)
	if err != nil {
		return ceph.Registration{}, err
	}
	registration.Revision = stored.version
	return registration, nil
}
