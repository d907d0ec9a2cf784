// The additional sense codes that this target gives (SPC-4, annex D).
#pragma once

#include "volume/scsi/sense.h"

namespace ashlar::scsi::asc {

inline constexpr Asc kNone{0x00, 0x00};
inline constexpr Asc kOperationInProgress{0x00, 0x16};
inline constexpr Asc kNotReadyCauseNotReportable{0x04, 0x00};
inline constexpr Asc kBecomingReady{0x04, 0x01};
inline constexpr Asc kInitializingCommandRequired{0x04, 0x02};
inline constexpr Asc kManualInterventionRequired{0x04, 0x03};
inline constexpr Asc kAsymmetricAccessTransition{0x04, 0x0a};
inline constexpr Asc kTargetPortInStandby{0x04, 0x0b};
inline constexpr Asc kTargetPortUnavailable{0x04, 0x0c};
inline constexpr Asc kSanitizeInProgress{0x04, 0x1b};
inline constexpr Asc kWriteError{0x0c, 0x00};
inline constexpr Asc kCopyTargetNotReachable{0x0d, 0x02};
inline constexpr Asc kIncorrectCopyTargetType{0x0d, 0x03};
inline constexpr Asc kInvalidFieldInInformationUnit{0x0e, 0x03};
inline constexpr Asc kUnreadable{0x11, 0x00};
inline constexpr Asc kParameterListLengthError{0x1a, 0x00};
inline constexpr Asc kDefectListNotFound{0x1c, 0x00};
inline constexpr Asc kMiscompareDuringVerify{0x1d, 0x00};
inline constexpr Asc kInvalidOpcode{0x20, 0x00};
inline constexpr Asc kNoAccessRights{0x20, 0x02};
inline constexpr Asc kLbaOutOfRange{0x21, 0x00};
inline constexpr Asc kInvalidFieldInCdb{0x24, 0x00};
inline constexpr Asc kLunNotSupported{0x25, 0x00};
inline constexpr Asc kInvalidFieldInParameters{0x26, 0x00};
inline constexpr Asc kParameterNotSupported{0x26, 0x01};
inline constexpr Asc kParameterValueInvalid{0x26, 0x02};
inline constexpr Asc kInvalidRelease{0x26, 0x04};
inline constexpr Asc kTooManyTargetDescriptors{0x26, 0x06};
inline constexpr Asc kUnsupportedTargetDescriptorType{0x26, 0x07};
inline constexpr Asc kTooManySegmentDescriptors{0x26, 0x08};
inline constexpr Asc kUnsupportedSegmentDescriptorType{0x26, 0x09};
inline constexpr Asc kUnexpectedInexactSegment{0x26, 0x0a};
inline constexpr Asc kInlineDataLengthExceeded{0x26, 0x0b};
inline constexpr Asc kWriteProtected{0x27, 0x00};
inline constexpr Asc kHardwareWriteProtected{0x27, 0x01};
inline constexpr Asc kSoftwareWriteProtected{0x27, 0x02};
inline constexpr Asc kSpaceAllocationFailed{0x27, 0x07};
inline constexpr Asc kMediumMayHaveChanged{0x28, 0x00};
inline constexpr Asc kPowerOnOrReset{0x29, 0x00};
inline constexpr Asc kBusDeviceReset{0x29, 0x03};
inline constexpr Asc kNexusLoss{0x29, 0x07};
inline constexpr Asc kModeParametersChanged{0x2a, 0x01};
inline constexpr Asc kLogParametersChanged{0x2a, 0x02};
inline constexpr Asc kReservationsPreempted{0x2a, 0x03};
inline constexpr Asc kReservationsReleased{0x2a, 0x04};
inline constexpr Asc kRegistrationsPreempted{0x2a, 0x05};
inline constexpr Asc kAsymmetricAccessChanged{0x2a, 0x06};
inline constexpr Asc kCapacityChanged{0x2a, 0x09};
inline constexpr Asc kCommandSequenceError{0x2c, 0x00};
inline constexpr Asc kCommandsCleared{0x2f, 0x00};
inline constexpr Asc kCannotReadMediumFormat{0x30, 0x02};
inline constexpr Asc kSanitizeFailed{0x31, 0x03};
inline constexpr Asc kThinProvisioningThreshold{0x38, 0x07};
inline constexpr Asc kSavingParametersNotSupported{0x39, 0x00};
inline constexpr Asc kMediumNotPresent{0x3a, 0x00};
inline constexpr Asc kMediumNotPresentTrayOpen{0x3a, 0x02};
inline constexpr Asc kInquiryDataChanged{0x3f, 0x03};
inline constexpr Asc kReportedLunsChanged{0x3f, 0x0e};
inline constexpr Asc kInternalTargetFailure{0x44, 0x00};
inline constexpr Asc kInvalidMessage{0x49, 0x00};
inline constexpr Asc kDataPhaseError{0x4b, 0x00};
inline constexpr Asc kOverlappedCommands{0x4e, 0x00};
inline constexpr Asc kMediumRemovalPrevented{0x53, 0x02};
inline constexpr Asc kInsufficientResources{0x55, 0x03};
inline constexpr Asc kInsufficientRegistrationResources{0x55, 0x04};

}  // namespace ashlar::scsi::asc
