# Installs taskrun as a service of this computer: the program to Program Files, tasks.yaml and the records to ProgramData. Once more: an update.
#
#   powershell -ExecutionPolicy Bypass -File install.ps1
#
# Run it as administrator. In the archive it lies in the folder `service`, below taskrun.exe. Nothing that is there already is overwritten but the program itself.
#Requires -RunAsAdministrator
param(
    [string]$Exe = (Join-Path (Split-Path $PSScriptRoot) 'taskrun.exe'),
    [string]$Program = (Join-Path $env:ProgramFiles 'taskrun'),
    [string]$Shop = (Join-Path $env:ProgramData 'taskrun')
)
$ErrorActionPreference = 'Stop'
. (Join-Path $PSScriptRoot 'machine-path.ps1')

function Invoke-Checked([string]$What, [scriptblock]$Call) {
    & $Call
    if ($LASTEXITCODE -ne 0) { throw "$What failed (exit code $LASTEXITCODE)" }
}

# Anybody may make a folder in C:\ProgramData, and whoever made one says who writes to it, and so which programs the service runs.
function Assert-Trusted([string]$Path) {
    if ((Get-Item -LiteralPath $Path -Force).Attributes -band [IO.FileAttributes]::ReparsePoint) { throw "$Path is a link. Remove it first." }
    $owner = (Get-Acl -LiteralPath $Path).GetOwner([Security.Principal.SecurityIdentifier])
    $trusted = 'S-1-5-32-544', 'S-1-5-18', [Security.Principal.WindowsIdentity]::GetCurrent().User.Value # administrators, the system, this user
    if ($trusted -notcontains $owner.Value) {
        throw "$Path belongs to somebody else ($((Get-Acl -LiteralPath $Path).Owner)). Look what is in $Shop. Is it right, make it the administrators', then run this again: takeown /F `"$Shop`" /R /A; icacls `"$Shop`" /reset /T"
    }
}

$installed = Join-Path $Program 'taskrun.exe'
$config = Join-Path $Shop 'tasks.yaml'

if (-not (Test-Path $Exe)) { throw "There is no $Exe. Name it with -Exe." }
New-Item -ItemType Directory -Force $Program, $Shop | Out-Null
foreach ($path in $Shop, $config) { if (Test-Path $path) { Assert-Trusted $path } }
if (Get-Service taskrun -ErrorAction SilentlyContinue) { Stop-Service taskrun }

# A program that runs, in a terminal perhaps, can't be replaced, but it can get another name. What has one goes as soon as nobody runs it.
$aside = "$installed.$(Get-Date -Format yyyyMMddHHmmss).old"
if (Test-Path $installed) { Move-Item $installed $aside }
try {
    Copy-Item $Exe $installed
} catch {
    if (Test-Path $aside) { Move-Item $aside $installed -Force }
    throw
}
Unblock-File $installed
Remove-Item "$installed.*.old" -ErrorAction SilentlyContinue

# tasks.yaml says which programs run: only administrators, the system and whoever installs this may touch it. The service gets its rights below.
Invoke-Checked 'icacls' { icacls $Shop /inheritance:r /grant '*S-1-5-32-544:(OI)(CI)F' '*S-1-5-18:(OI)(CI)F' "${env:USERDOMAIN}\${env:USERNAME}:(OI)(CI)M" /q }
if (-not (Test-Path $config)) { Copy-Item (Join-Path $PSScriptRoot 'tasks.yaml') $config }

# `taskrun` in any new terminal, with this tasks.yaml.
Edit-MachinePath { param([string[]]$folders) if ($folders -contains $Program) { $folders } else { @($folders | Where-Object { $_ }) + $Program } }
[Environment]::SetEnvironmentVariable('TASKRUN_CONFIG', $config, 'Machine')

Invoke-Checked 'taskrun check' { & $installed -c $config check }
Invoke-Checked 'taskrun service install' { & $installed -c $config service install }
Write-Host 'Done. The dashboard: http://127.0.0.1:9700/'
