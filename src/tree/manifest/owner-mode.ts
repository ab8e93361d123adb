/** Of a check-out. `set`: as root. `report`: it should be set, but this process may not. `leave`: nobody asked. */
export type OwnerMode = 'set' | 'report' | 'leave'
