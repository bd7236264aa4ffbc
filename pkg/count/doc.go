// Package count says in words how many things there are.
package count
