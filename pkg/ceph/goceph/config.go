package goceph

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DefaultTimeout is the Config.Timeout of a Config without one.
const DefaultTimeout = 5 * time.Second

// Config says where Ceph is and who connects. Its zero value is what the ceph
// command does without arguments.
type Config struct {
	// ConfFile is a ceph.conf. When it is empty and Monitors as well, librados
	// looks in its usual places.
	ConfFile string
	// Monitors are addresses in any form that mon_host allows, such as
	// "10.0.0.1:6789" or "[v2:10.0.0.1:3300,v1:10.0.0.1:6789]". With them and
	// without ConfFile no configuration file is read.
	Monitors []string
	// User is the Ceph user without "client."; empty is "admin".
	User string
	// Key is the user's key in base64. It goes before Keyring, the path of a
	// keyring file.
	Key, Keyring string
	// Timeout is when a RADOS operation ends that Ceph does not answer, in whole
	// seconds, rounded up. Every method of the connection returns within twice
	// that. Zero is DefaultTimeout.
	Timeout time.Duration

	// patientWithMonitors: monitors and managers may take as long as they like, see
	// manager.
	patientWithMonitors bool
}

// timeout is Timeout as librados takes it.
func (c Config) timeout() time.Duration {
	t := cmp.Or(c.Timeout, DefaultTimeout)
	return (t + time.Second - 1).Truncate(time.Second)
}

func (c Config) user() string {
	return cmp.Or(strings.TrimPrefix(c.User, "client."), "admin")
}

// where is for error messages.
func (c Config) where() string {
	at := strings.Join(c.Monitors, ",")
	if at == "" {
		at = cmp.Or(c.ConfFile, "the default ceph.conf")
	}
	return fmt.Sprintf("connect to ceph as client.%s by %s", c.user(), at)
}

// option is a Ceph configuration option and its value.
type option struct{ name, value string }

// options override whatever the configuration file says.
func (c Config) options() []option {
	seconds := strconv.Itoa(int(c.timeout() / time.Second))
	commandSeconds := seconds
	if c.patientWithMonitors {
		commandSeconds = "0"
	}
	options := []option{
		{"client_mount_timeout", seconds},
		{"rados_mon_op_timeout", commandSeconds},
		{"rados_osd_op_timeout", seconds},
		// A ceph.conf for daemons and command-line tools may name a log file and a
		// socket in folders that this process must not write to, and a log on
		// stderr would hide the one message that is for people.
		{"log_file", ""},
		{"log_to_file", "false"},
		{"log_to_stderr", "false"},
		{"err_to_stderr", "false"},
		{"log_to_syslog", "false"},
		{"admin_socket", ""},
		{"pid_file", ""},
	}
	if len(c.Monitors) != 0 {
		options = append(options, option{"mon_host", strings.Join(c.Monitors, ",")})
	}
	if c.Keyring != "" {
		options = append(options, option{"keyring", c.Keyring})
	}
	if c.Key != "" {
		options = append(options, option{"key", c.Key})
	}
	return options
}
