# Makes this Windows machine a worker or coordinator that starts at log-on, from a checkout of lorafleet:
#
#     powershell -ExecutionPolicy Bypass -File deploy\service\install.ps1 worker --join http://coordinator.example:8787/join/…
#
# It needs Deno and asks before it installs it; everything else is shown and asked by `deno task service`.
$ErrorActionPreference = 'Stop'
$root = Split-Path (Split-Path $PSScriptRoot)
$deno = (Get-Command deno -ErrorAction SilentlyContinue).Source
if (-not $deno -and (Test-Path "$HOME\.deno\bin\deno.exe")) { $deno = "$HOME\.deno\bin\deno.exe" }
if (-not $deno) {
  Write-Output "Deno is not installed. Its own installer puts one file into $HOME\.deno:"
  Write-Output '    $v = "2.9.6"; irm https://deno.land/install.ps1 | iex'
  if ((Read-Host 'Do that? [y/N]') -notmatch '^y') { Write-Output 'nothing is done'; exit 1 }
  $v = '2.9.6'
  Invoke-RestMethod https://deno.land/install.ps1 | Invoke-Expression
  $deno = "$HOME\.deno\bin\deno.exe"
}
Set-Location $root
& $deno run -A deploy/service/main.ts install @args
exit $LASTEXITCODE
