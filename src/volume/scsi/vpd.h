// Vital product data pages of INQUIRY (SPC-4, 7.8; SBC-3, 6.6).
#pragma once

namespace ashlar::scsi {}
