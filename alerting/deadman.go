package alerting

import "github.com/colliehq/collie/alerting/manager"

// DeadMan is the receiver of the dead man's switch, which is never told to
// people.
const DeadMan = manager.DeadMan
