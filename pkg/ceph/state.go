package ceph

import "fmt"

// State is who may use an image.
type State int

// The states. In Fencing nobody may start anything: a person is taking the image
// from its owner, and whether the owner still writes is not known yet.
const (
	Free State = iota
	Held
	Fencing
)

var stateNames = [...]string{Free: "free", Held: "held", Fencing: "fencing"}

func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return stateNames[s]
}

// MarshalText is the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText refuses what is not the name of a state.
func (s *State) UnmarshalText(text []byte) error {
	for state, name := range stateNames {
		if name == string(text) {
			*s = State(state)
			return nil
		}
	}
	return fmt.Errorf("state %q is not known", text)
}
