package objects

import "context"

// Read reads the objects, as a leader does that begins, and from time to time.
func (v *Volumes) Read(ctx context.Context) error { return v.read(ctx) }

// Drain writes what is queued, as Start does, and returns the first error.
func (v *Volumes) Drain(ctx context.Context) error {
	for claim, one, _ := v.next(); one != nil; claim, one, _ = v.next() {
		if err := v.write(ctx, claim, one); err != nil {
			v.again(claim, one)
			return err
		}
	}
	return nil
}

// Queued is how many volumes wait to be written.
func (v *Volumes) Queued() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.queued)
}

// Drain writes what is queued, as Start does.
func (w *Waiting) Drain(ctx context.Context) error {
	for name, workload, _ := w.next(); name.Name != ""; name, workload, _ = w.next() {
		if err := w.write(ctx, name, workload); err != nil {
			return err
		}
	}
	return nil
}

// Pass is one look at all clusters.
func (c *Clusters) Pass(ctx context.Context) error {
	_, err := c.pass(ctx)
	return err
}

// ObjectName is the name of the object of a cluster.
func ObjectName(key, name, uid string, isTaken bool) string {
	is := registered{key: key}
	is.registration.Name, is.registration.UID = name, uid
	return is.objectName(isTaken)
}
