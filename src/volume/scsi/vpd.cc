#include "volume/scsi/vpd.h"
