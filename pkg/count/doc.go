// Package count says in words how many things there are, and which.
package count
