package capi
