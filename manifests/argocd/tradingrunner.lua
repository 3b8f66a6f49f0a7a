-- Health of a TradingRunner for Argo CD. Argo CD does not read kstatus: without this, a sync wave
-- passes as soon as the object is written.
local function condition(kind)
  for _, one in ipairs((obj.status or {}).conditions or {}) do
    if one.type == kind and one.status == "True" then
      return one
    end
  end
end

local function health(status, message)
  return { status = status, message = message or "" }
end

local status = obj.status or {}
if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "cancelling orders and stopping")
end
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the operator has not seen this generation yet")
end

local stalled, busy, drift = condition("Stalled"), condition("Reconciling"), condition("ReleaseDrift")
if stalled then
  return health("Degraded", stalled.message)
end
if busy then
  return health("Progressing", busy.message)
end
if obj.spec.suspend then
  return health("Suspended", "suspended by spec.suspend")
end
local switch = condition("KillSwitch")
if switch then
  return health("Degraded", "kill switch: " .. (switch.message or ""))
end
if drift then
  -- What Git wants does not run. Waiting for a person is no fault; a release that was refused is.
  if drift.reason == "Manual" then
    return health("Suspended", drift.message)
  end
  if drift.reason == "CutoverPending" then
    return health("Progressing", drift.message)
  end
  return health("Degraded", drift.message)
end
if condition("Ready") then
  return health("Healthy", "trades " .. ((status.activeRelease or {}).image or ""))
end
return health("Degraded", "the runner does not trade")
