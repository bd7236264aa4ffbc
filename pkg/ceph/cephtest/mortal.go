package cephtest

import "errors"

// ErrKilled is what a run that is dead gets from each call.
var ErrKilled = errors.New("killed")

// Mortal kills a run at one of its writes, to Ceph or to an API server. From then on no call
// comes to anything, until Writes is set anew.
type Mortal struct {
	// Writes are those to come before the run dies, with the last of them; negative: it lives.
	// Done says that the last one is carried out.
	Writes int
	Done   bool
	// Changed are the writes that were carried out.
	Changed []string
}

// Step carries a call out, unless the run is dead, or dies with it.
func (m *Mortal) Step(method string, write bool, proceed func() error) error {
	if m.Writes == 0 {
		return ErrKilled
	}
	if !write {
		return proceed()
	}
	m.Writes--
	if m.Writes == 0 && !m.Done {
		return ErrKilled
	}
	m.Changed = append(m.Changed, method)
	if err := proceed(); err != nil {
		return err
	}
	if m.Writes == 0 {
		return ErrKilled
	}
	return nil
}
