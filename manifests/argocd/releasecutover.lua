-- Health of a ReleaseCutover for Argo CD.
local function health(status, message)
  return { status = status, message = message or "" }
end

local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation or status.phase == nil then
  return health("Progressing", "the operator has not seen this generation yet")
end
if status.phase == "Succeeded" then
  return health("Healthy", status.message)
end
-- Rolled back and verified: the old release trades, but Git wants the one that was refused.
if status.phase == "RolledBack" or status.phase == "Halted" or status.phase == "Failed" then
  return health("Degraded", status.phase .. ": " .. (status.message or ""))
end
-- Waits for people.
if status.phase == "AwaitingApproval" then
  return health("Suspended", status.message)
end
return health("Progressing", status.phase .. ": " .. (status.message or ""))
